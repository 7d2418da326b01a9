"""The page of a skills folder: what it shows, that it is one safe file, the same every time."""

import pytest

from amlora.records.folder import Folder
from amlora.report.skills_page import build_skills_page
from made_skills import OWN, astray_rows, helpdesk, learned_of, state, version_of

from .parsed_page import Page
from .test_page import check_whole


@pytest.fixture(scope="module")
def text() -> str:
    """The page of a version that was refused."""
    folder = helpdesk()
    return build_skills_page(folder, folder.version(3))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_one_file_without_scripts_that_loads_nothing(text: str, page: Page):
    check_whole(text, page)
    assert {"#skills", "#changes", "#flips-1", "#learned", "#versions"} <= set(page.links())


def test_equal_folders_give_equal_bytes(text: str):
    folder = helpdesk()
    assert build_skills_page(folder, folder.version(3)) == text


def test_the_matrix_has_skills_by_versions_with_what_a_cell_rests_on(page: Page):
    assert "billing, version 3: 83.0 % of 200 kept rows" in page.titles()
    classes = [found.get("class", "").split() for found in page.having("td")]
    assert sum("own" in found for found in classes) == 3
    assert sum("unseen" in found for found in classes) == 3  # spam in 1; refunds in 1 and 2
    assert ("small", "learn refunds") in page.texts


def test_the_gates_words_the_flipped_rows_and_the_losses_are_there(page: Page):
    assert ("li", "Refused: billing lost more than 2.0 points.") in page.texts
    assert ("th", "billing text 14") in page.texts
    assert ("td", "right \N{RIGHTWARDS ARROW} wrong") in page.texts
    assert "Losses of spam over its steps, nats a token" in page.drawn()
    assert ("dd", "nothing: nothing: there is no other skill") in page.texts


def test_settings_are_shown_whole(text: str):
    assert "lora.rank = 8" in text and "lr = 0.003" in text


def test_a_first_version_has_nothing_to_compare():
    folder = helpdesk()
    page = Page(build_skills_page(folder, folder.version(1)))
    check_whole(build_skills_page(folder, folder.version(1)), page)
    assert "#flips" not in page.links()


def test_what_comes_from_data_is_text_on_the_page():
    evil = "<script>alert(1)</script>\x1b[2J\u202e"
    own = state({"a": OWN})
    rows = tuple(
        row.model_copy(update={"text": evil, "label": evil, "answer": evil})
        for row in own.rows("a")
    )
    told = learned_of("a").model_copy(update={"data": evil, "settings": {evil: evil}})
    taken = state({"a": OWN, "b": OWN}, astray_rows("a", "b", dict.fromkeys(range(30), 0.0)))
    first = type(own)(learned={"a": told}, kept={"a": rows}, astray=own.astray)
    second = type(own)(
        learned={**taken.learned, "a": told}, kept={**taken.kept, "a": rows}, astray=taken.astray
    )
    versions = (version_of(1, None, first, "a", in_use=True), version_of(2, first, second, "b"))
    folder = Folder(name=evil, base=evil, versions=versions)
    text = build_skills_page(folder, versions[1])
    check_whole(text, Page(text))
    assert "\x1b" not in text and "\u202e" not in text and "&lt;script&gt;" in text
