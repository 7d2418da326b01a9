"""The catalogue against the paper's tables 3 to 5 and the reference benchmark."""

import pytest

from amlora.streams import catalogue
from amlora.streams.check import check_options
from amlora.streams.load import of_hub, of_layout

ENTRIES = list(catalogue.entries().values())
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


def test_the_catalogue_has_the_papers_fifteen_tasks_with_the_references_rows():
    found = {entry.name: (entry.rows.train.count, entry.rows.test.count) for entry in ENTRIES}
    assert found == SIZES
    assert list(catalogue.entries()) == [entry.name for entry in ENTRIES] == sorted(SIZES)


def test_orders_one_to_three_permute_four_tasks_and_four_to_six_all_fifteen():
    orders = catalogue.orders()
    assert list(orders) == ["1", "2", "3", "4", "5", "6"]
    for name, tasks in orders.items():
        all_of = ["agnews", "amazon", "dbpedia", "yahoo"] if name in "123" else sorted(SIZES)
        assert sorted(tasks) == all_of
        lambdas = catalogue.details()[name].sparsity
        assert len(lambdas) == len(tasks) and all(0 <= value <= 0.3 for value in lambdas)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_fits_itself(entry):
    category, name = entry.folder.split("/")  # of the reference layout
    assert (category, name.lower()) == (entry.category, entry.name)
    check_options(entry.labels, entry.name)
    assert len(entry.labels) >= 2
    if entry.hub.answers:
        assert sorted(entry.hub.answers.values()) == sorted(entry.labels)
    assert {make(entry).name for make in (of_hub, of_layout)} == {entry.name}
    if entry.name not in ("cb", "copa"):
        assert entry.rows.train.count == 1000 * len(entry.labels)
    # A hub source is pinned to a commit unless it is marked.
    assert len(entry.hub.revision) == (40 if entry.hub.verified else 0)
    assert entry.hub.verified == (entry.name != "amazon")
    # Copa alone has neither instruction nor list of options.
    assert bool(entry.instruction) == entry.show_options == (entry.name != "copa")


def test_tasks_of_one_category_have_one_instruction():
    """Table 5 has one for each category."""
    instructions = {(entry.category, entry.instruction) for entry in ENTRIES}
    assert len(instructions) == len({entry.category for entry in ENTRIES}) == 8


def test_rows_of_labels_add_up_where_all_are_known():
    complete = 0
    for entry in ENTRIES:
        for counts in (entry.rows.train, entry.rows.test):
            assert set(counts.labels) <= {*entry.labels, "-"}
            if set(counts.labels) >= set(entry.labels):
                assert sum(counts.labels.values()) == counts.count
                complete += 1
    assert complete == 8
