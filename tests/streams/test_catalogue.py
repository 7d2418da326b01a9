"""The catalogue against the paper's tables 3 to 5 and the reference benchmark."""

import pytest

from amlora.streams import catalogue
from amlora.streams.check import check_options
from amlora.streams.load import of_hub, of_layout

ENTRIES = list(catalogue.entries().values())
NAMES = "dbpedia amazon yahoo agnews yelp mnli cb wic copa qqp boolqa rte imdb sst-2 multirc"
# The reference benchmark's train and test rows, as its files and its trainer's logs have them.
SIZES = {
    "dbpedia": (14000, 7600),
    "yahoo": (10000, 7600),
    "amazon": (5000, 7600),
    "yelp": (5000, 7600),
    "agnews": (4000, 7600),
    "mnli": (3000, 7600),
    "qqp": (2000, 7600),
    "imdb": (2000, 7600),
    "boolqa": (2000, 3270),
    "multirc": (2000, 4848),
    "sst-2": (2000, 872),
    "wic": (2000, 638),
    "rte": (2000, 277),
    "copa": (400, 100),
    "cb": (250, 56),
}


def test_the_catalogue_has_the_papers_fifteen_tasks():
    assert list(catalogue.entries()) == sorted(NAMES.split())


def test_every_task_is_a_file_of_its_name():
    files = {path.stem for path in (catalogue.HERE / "tasks").iterdir()}
    assert files == set(catalogue.entries())


def test_orders_one_to_three_permute_four_tasks_and_four_to_six_all_fifteen():
    orders = catalogue.orders()
    assert list(orders) == ["1", "2", "3", "4", "5", "6"]
    for name in "123":
        assert sorted(orders[name]) == ["agnews", "amazon", "dbpedia", "yahoo"]
    for name in "456":
        assert sorted(orders[name]) == sorted(catalogue.entries())


def test_every_order_has_a_lambda_for_each_task():
    for order in catalogue.details().values():
        assert len(order.sparsity) == len(order.tasks)
        assert all(0 <= value <= 0.3 for value in order.sparsity)


def test_every_folder_is_category_and_name_of_the_reference_layout():
    for entry in ENTRIES:
        category, name = entry.folder.split("/")
        assert category == entry.category
        assert name.lower() == entry.name


def test_answers_can_be_told_apart_by_exact_match():
    for entry in ENTRIES:
        check_options(entry.labels, entry.name)
        assert len(entry.labels) >= 2


def test_copa_alone_has_neither_instruction_nor_list_of_options():
    entries = catalogue.entries()
    assert [name for name, entry in entries.items() if not entry.instruction] == ["copa"]
    assert [name for name, entry in entries.items() if not entry.show_options] == ["copa"]


def test_tasks_of_one_category_have_one_instruction():
    """Table 5 has one for each category."""
    instructions = {(entry.category, entry.instruction) for entry in ENTRIES}
    assert len(instructions) == len({entry.category for entry in ENTRIES}) == 8


def test_the_sizes_are_those_of_the_reference_benchmark():
    sizes = {entry.name: (entry.rows.train.count, entry.rows.test.count) for entry in ENTRIES}
    assert sizes == SIZES


def test_train_rows_are_a_thousand_times_the_number_of_labels_but_for_the_two_small_tasks():
    for entry in ENTRIES:
        if entry.name not in ("cb", "copa"):
            assert entry.rows.train.count == 1000 * len(entry.labels)


def test_rows_of_labels_add_up_where_all_are_known():
    complete = 0
    for entry in ENTRIES:
        for counts in (entry.rows.train, entry.rows.test):
            assert set(counts.labels) <= {*entry.labels, "-"}
            if set(counts.labels) >= set(entry.labels):
                assert sum(counts.labels.values()) == counts.count
                complete += 1
    assert complete == 8


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_hubs_labels_are_exchanged_for_the_options(entry):
    if entry.hub.answers:
        assert sorted(entry.hub.answers.values()) == sorted(entry.labels)
    assert of_hub(entry).name == of_layout(entry).name == entry.name  # and are not refused


def test_a_hub_source_is_pinned_to_a_commit_unless_it_is_marked():
    for entry in ENTRIES:
        assert len(entry.hub.revision) == (40 if entry.hub.verified else 0)
    assert [entry.name for entry in ENTRIES if not entry.hub.verified] == ["amazon"]
