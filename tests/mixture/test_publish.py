"""Which version is in use: publishing, going back, what would be lost, and what nobody needs."""

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.mixture.publish import lost_by, prune, publish, rollback
from amlora.mixture.version import ancestry, in_use, numbers, read_version, verify
from amlora.mixture.write import tidy, unknown_tasks
from learned import SECRET, Folder, card, extra


@pytest.fixture
def folder(llama_folder, tmp_path) -> Folder:
    """Version 2, of a and b, is in use; it came from version 1, of a."""
    folder = Folder(tmp_path / "skills", llama_folder)
    folder.learn("a", extra=extra("a"))
    folder.learn("b", ["a"])
    return folder


def tasks(folder: Folder) -> set[str]:
    """Return the names of the tasks' folders, without number and hash."""
    return {path.name.split("-")[1] for path in (folder.place / "tasks").iterdir()}


def renamed(folder: Folder, old: str, new: str) -> None:
    draft = folder.draft()
    draft.rename(old, new)
    folder.write(draft)


def test_a_candidate_is_published_and_taken_back(folder):
    folder.learn("c", publish=False)
    publish(folder.place, "0003")
    assert verify(folder.place).version == "0003"
    assert rollback(folder.place) == "0002" == verify(folder.place).version
    assert rollback(folder.place) == "0001" == verify(folder.place).version
    with pytest.raises(InputError, match="version 0001 was made from no other"):
        rollback(folder.place)
    publish(folder.place, "0003")
    assert verify(folder.place).version == "0003"


def test_the_first_version_may_be_a_candidate(llama_folder, tmp_path):
    folder = Folder(tmp_path, llama_folder)
    folder.learn("a", publish=False)
    assert lost_by(folder.place, "0001") == []
    for change in (rollback, prune):
        with pytest.raises(InputError, match="no version is in use; candidates: 0001"):
            change(folder.place)
    publish(folder.place, "0001")
    assert in_use(folder.place) == "0001"


@pytest.mark.parametrize("name", ["task.json", "kept.jsonl", "stages.safetensors", "README.md"])
def test_a_damaged_version_is_neither_published_nor_gone_back_to(folder, name):
    version = folder.learn("c", publish=False, extra=extra("c"))
    path = next(p for p in sorted(version.files, reverse=True) if p.endswith(f"/{name}"))
    where = folder.place / path
    before = where.read_bytes()
    where.write_bytes(before[:-1])
    with pytest.raises(InputError, match=f"{name}: truncated"):
        publish(folder.place, "0003")
    where.write_bytes(before)
    where = folder.place / read_version(folder.place, "0001").folder / "scores.json"
    where.write_bytes(where.read_bytes() + b" ")
    with pytest.raises(InputError, match=r"scores\.json"):
        rollback(folder.place)
    assert in_use(folder.place) == "0002"


def test_going_back_needs_the_very_version_that_was_written_down(folder):
    path = folder.place / "versions" / "0001" / "manifest.json"
    value = files.read_sealed(path)
    value.pop("digest")
    files.write_sealed(path, {**value, "content": "0" * 64})
    assert read_version(folder.place, "0001")  # it is sealed
    with pytest.raises(InputError, match="altered: its sha256 is not the one"):
        rollback(folder.place)


def test_what_a_version_from_elsewhere_lacks_is_told_before_it_is_published(folder):
    folder.learn("c", publish=False)  # from 2
    folder.learn("d")
    draft = folder.draft()
    draft.replace(card("a"), **folder.lora("anew"))
    folder.write(draft)
    renamed(folder, "b", "bb")
    assert lost_by(folder.place, "0003") == ["a", "d"]
    assert lost_by(folder.place, "0002") == ["a", "d"]
    assert lost_by(folder.place, "0006") == []
    draft = folder.draft()
    draft.remove("d")
    folder.write(draft, publish=False)
    assert lost_by(folder.place, "0007") == []  # it was meant to


def test_pruning_leaves_the_version_in_use_and_those_before_it(folder):
    folder.learn("c", publish=False, extra=extra("c"))
    folder.learn("d", publish=False)
    assert tasks(folder) == {"a", "b", "c", "d"}
    assert prune(folder.place) == ["0003", "0004"]
    assert numbers(folder.place) == ["0001", "0002"] and tasks(folder) == {"a", "b"}
    assert verify(folder.place) and verify(folder.place, "0001")
    assert prune(folder.place) == []
    assert folder.learn("e").version == "0005"  # no number is used twice
    rollback(folder.place)
    rollback(folder.place)
    assert prune(folder.place) == ["0002", "0005"]
    tidy(folder.place)
    assert folder.learn("f").version == "0006"
    assert prune(folder.place) == [] and tasks(folder) == {"a", "f"}


def test_rows_of_a_candidate_are_gone_after_pruning(folder):
    folder.learn("c", publish=False, extra=extra("c"))
    rollback(folder.place)
    prune(folder.place)
    kept = [path for path in folder.place.rglob("kept.jsonl")]
    assert [path.parent.name[:4] for path in kept] == ["01-a"]
    assert SECRET.encode() in kept[0].read_bytes()


def test_without_history_a_removed_skills_rows_are_gone_and_nothing_is_rolled_back(folder):
    folder.learn("c", extra=extra("c"))
    draft = folder.draft()
    draft.remove("c")
    folder.write(draft)
    assert prune(folder.place) == [] and "c" in tasks(folder)
    used = in_use(folder.place)
    assert prune(folder.place, history=True) == ["0001", "0002", "0003"]
    assert numbers(folder.place) == [used] and verify(folder.place)
    assert [manifest.version for manifest in ancestry(folder.place)] == [used]
    assert tasks(folder) == {"a", "b"}
    with pytest.raises(InputError, match="version 0003, the one before, was pruned"):
        rollback(folder.place)
    assert lost_by(folder.place, folder.learn("d", publish=False).version) == []


def test_what_is_no_versions_is_tidied_up_and_all_else_is_left(folder):
    place = folder.place
    candidate = folder.learn("c", publish=False)
    stray = place / "tasks" / "09-x-00000000"
    stray.mkdir()
    (stray / "task.json").write_text("{}")
    for name in ("tasks/mine", "versions/0004", "versions/mine"):
        (place / name).mkdir()
    (place / "versions" / "0004" / "scores.json").write_text("{")
    assert unknown_tasks(place) == {"tasks/09-x-00000000"}
    tidy(place)
    names = sorted(path.name for path in (place / "versions").iterdir())
    assert names == ["0001", "0002", "0003", "mine"]
    assert not stray.exists() and (place / "tasks" / "mine").is_dir()
    assert verify(place, "0003") == candidate


def test_while_a_version_cannot_be_read_no_tasks_folder_is_removed(folder):
    folder.learn("c", publish=False)
    (folder.place / "versions" / "0003" / "manifest.json").write_text("{")
    tidy(folder.place)
    assert tasks(folder) == {"a", "b", "c"}
