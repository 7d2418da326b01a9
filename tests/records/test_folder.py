"""The tree of versions: which is which, and what skills are called in another."""

import pytest

from amlora.errors import InputError
from amlora.records.folder import Folder
from amlora.records.skills import Astray
from made_skills import OWN, helpdesk, state, version_of


def numbers(versions) -> list[int]:
    return [each.number for each in versions]


def test_a_version_is_found_by_its_number_and_without_one_that_in_use():
    folder = helpdesk()
    assert folder.version().number == 2 and folder.version(3).number == 3
    with pytest.raises(InputError, match="helpdesk: no version 4; there are 1, 2, 3"):
        folder.version(4)


def test_ancestors_of_the_version_in_use_are_earlier_and_all_others_candidates():
    folder = helpdesk()
    assert [folder.role(each) for each in folder.versions] == ["earlier", "in use", "candidate"]
    assert numbers(folder.line(folder.version(3))) == [1, 2, 3]


def test_a_version_whose_parent_is_gone_begins_its_line():
    folder = helpdesk()
    rest = Folder(name="x", base="b", versions=folder.versions[1:])
    assert numbers(rest.line(rest.version(3))) == [2, 3]


def renaming() -> Folder:
    """1: a. 2, on 1: a is x. 3, on 1: a is y, then 4: y is z, and b is new."""
    a = state({"a": OWN})
    x, y = a.renamed({"a": "x"}), a.renamed({"a": "y"})
    z = state({"z": OWN, "b": [1]})
    versions = [
        version_of(1, None, a, "a"),
        version_of(2, a, x, "x", did="rename", renamed={"a": "x"}, in_use=True),
        version_of(3, a, y, "y", did="rename", renamed={"a": "y"}),
        version_of(4, y, z, "b", renamed={"y": "z"}),
    ]
    return Folder(
        name="n",
        base="b",
        versions=tuple(
            type(each)(**{**vars(each), "parent": {2: 1, 3: 1, 4: 3}.get(each.number)})
            for each in versions
        ),
    )


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (1, 2, {"a": "x"}),
        (2, 1, {"x": "a"}),
        (2, 4, {"x": "z"}),
        (4, 2, {"z": "x"}),
        (1, 4, {"a": "z"}),
        (3, 3, {}),
    ],
)
def test_names_are_followed_back_to_the_common_ancestor_and_on(first, second, names):
    folder = renaming()
    assert folder.renamed(folder.version(first), folder.version(second)) == names


def test_a_version_that_speaks_of_rows_that_are_not_kept_is_named():
    version = helpdesk().versions[0]
    lost = Astray(skill="billing", row="test:9999", to="none", answer="", score=0.0)
    standing = version.standing.model_copy(update={"astray": (lost,)})
    wrong = type(version)(**{**vars(version), "standing": standing})
    with pytest.raises(InputError, match="version 1: row 'test:9999' of skill 'billing'"):
        _ = wrong.state
