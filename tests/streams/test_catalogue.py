from amlora.streams import catalogue
from amlora.streams.check import check_options


def test_the_catalogue_has_the_papers_fifteen_tasks():
    names = "dbpedia amazon yahoo agnews yelp mnli cb wic copa qqp boolqa rte imdb sst-2 multirc"
    assert list(catalogue.entries()) == names.split()


def test_orders_one_to_three_permute_four_tasks_and_four_to_six_all_fifteen():
    orders = catalogue.orders()
    assert list(orders) == ["1", "2", "3", "4", "5", "6"]
    for name in "123":
        assert sorted(orders[name]) == ["agnews", "amazon", "dbpedia", "yahoo"]
    for name in "456":
        assert sorted(orders[name]) == sorted(catalogue.entries())


def test_every_folder_is_category_and_name_of_the_reference_layout():
    for entry in catalogue.entries().values():
        category, name = entry.folder.split("/")
        assert category == entry.category
        assert name.lower() == entry.name


def test_answers_can_be_told_apart_by_exact_match():
    for entry in catalogue.entries().values():
        check_options(entry.labels, entry.name)
        assert len(entry.labels) >= 2


def test_copa_alone_has_neither_instruction_nor_list_of_options():
    entries = catalogue.entries()
    assert [name for name, entry in entries.items() if not entry.instruction] == ["copa"]
    assert [name for name, entry in entries.items() if not entry.show_options] == ["copa"]
