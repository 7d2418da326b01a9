"""Run folders: listed, found by name, and read only when unaltered."""

import errno
import os
from pathlib import Path

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.records.store import find_run, find_runs, list_runs
from broken_disk import disk
from broken_disk import whole as undisturbed
from paired_runs import change
from stored import read_record, write_record

ROW = '{"after": 0, "task": "a", "row": "test:0", "hit": true}\n'


def make_run(runs: Path, name: str, *, finished: bool = True, average: float = 0.5) -> Path:
    """Write a run's folder as a run leaves it."""
    folder = runs / name
    if finished:
        settings = {"name": name, "seed": 3}
        R = [[0.0], [average]]
        write_record(folder, settings, {"a": 1}, R, method="am_lora", lines=ROW, stream_digest="")
        files.write_json(folder / "measured.json", {"finished": "2030-01-02T03:04:05+00:00"})
    else:
        (folder / "checkpoint").mkdir(parents=True)
    toml = f'name = "{name}"\nseed = 3\n[method]\nname = "am_lora"\n'
    files.write_text(folder / "config.toml", toml)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_record(folder)
    text = str(caught.value)
    assert text.startswith(str(folder)) and "\n" not in text
    return text.removeprefix(f"{folder}")


def test_runs_are_listed_by_name_with_their_figures(tmp_path):
    make_run(tmp_path, "b-2", finished=False)
    make_run(tmp_path, "a-1", average=0.25)
    (tmp_path / "notes").mkdir()
    first, second = list_runs(tmp_path)
    assert (first.name, first.method, first.seed, first.average) == ("a-1", "am_lora", 3, 0.25)
    assert first.finished and first.when == "2030-01-02T03:04:05+00:00"
    assert (second.name, second.method, second.seed) == ("b-2", "am_lora", 3)
    assert not second.finished and second.average is None


def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path):
    folder = make_run(tmp_path, "a")
    (folder / "record.json").write_text('{"format": 1,\n')
    (found,) = list_runs(tmp_path)
    assert "record.json: line 2: not JSON" in found.problem
    assert not found.finished


def test_listing_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder of runs"):
        list_runs(tmp_path / "runs")


@pytest.mark.parametrize("wanted", ["alpha-1", "alp", "alpha-1/"])
def test_a_run_is_found_by_its_name_or_the_start_of_it(tmp_path, wanted):
    folder = make_run(tmp_path, "alpha-1")
    make_run(tmp_path, "beta-1")
    assert find_run(wanted, tmp_path) == folder


def test_a_path_wins_over_names_and_a_whole_name_over_longer_ones(tmp_path):
    folder = make_run(tmp_path / "elsewhere", "alpha")
    make_run(tmp_path / "elsewhere", "alpha-2")
    assert find_run(str(folder), tmp_path / "runs") == folder
    assert find_run("alpha", tmp_path / "elsewhere") == folder


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("alhpa-1", "alhpa-1: no such run in {runs}; did you mean 'alpha-1'?"),
        ("x", "x: no such run in {runs}; there are: alpha-1, alpha-2."),
        ("alpha", "alpha: 2 runs in {runs} begin so: alpha-1, alpha-2."),
    ],
)
def test_what_is_not_one_run_is_refused_with_the_nearest(tmp_path, wanted, line):
    make_run(tmp_path, "alpha-1")
    make_run(tmp_path, "alpha-2")
    with pytest.raises(InputError) as caught:
        find_run(wanted, tmp_path)
    assert str(caught.value) == line.format(runs=tmp_path)


def test_a_folder_of_runs_stands_for_all_of_them_and_none_is_named_twice(tmp_path):
    one, two = make_run(tmp_path, "a"), make_run(tmp_path, "b")
    assert find_runs([str(tmp_path), str(one), "b"], tmp_path) == [one, two]


def test_a_folder_without_runs_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"not a run folder; .* and holds no runs"):
        find_runs([str(tmp_path / "empty")], tmp_path)


def test_an_unfinished_run_has_no_record_to_read(tmp_path):
    folder = make_run(tmp_path, "a", finished=False)
    assert refusal(folder).startswith(": not finished;")


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("rows.jsonl", ROW.replace("true", "false"), "altered;"),
        ("rows.jsonl", None, "missing;"),
        ("attention.json", "{}", "altered;"),
    ],
)
def test_an_altered_or_missing_file_is_named_and_refused(tmp_path, file, text, line):
    folder = make_run(tmp_path, "a")
    if file == "attention.json":
        change(folder, attention_digest="0" * 64)
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    assert refusal(folder).startswith(f"/{file}: {line}")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"settings": {"name": "a", "seed": 4}}, "/record.json: altered; its settings"),
        ({"format": 2}, "/record.json: format 2; this version reads format 1."),
    ],
)
def test_an_altered_record_is_named_and_refused(tmp_path, values, line):
    folder = make_run(tmp_path, "a")
    change(folder, **values)
    assert refusal(folder).startswith(line)


@pytest.mark.parametrize("key", ["R", "metrics", "rows_digest", "settings"])
def test_a_record_that_lacks_something_is_refused_and_says_what(tmp_path, key):
    folder = make_run(tmp_path, "a")
    record = files.read_sealed(folder / "record.json")
    del record[key], record["digest"]
    files.write_sealed(folder / "record.json", record)
    assert refusal(folder).startswith(f"/record.json: {key} is missing")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"R": [[0.0], [1.5]]}, "R[1][0] must be at least 0 and at most 1, got 1.5"),
        ({"R": [[0.0], ["0.5"]]}, "R[1][0]: expected a number"),
        ({"R": [[0.0, 0.0]]}, "row 0 of R has 2 entries, not 1"),
        ({"tasks": [{"name": "a", "test": -1, "scored": 1}]}, "tasks[0].test must be at least 0"),
        ({"tasks": [{"name": "a", "test": 1, "scored": 1}] * 2, "R": [[0, 0]]}, "the same name"),
        ({"metrics": {"average": 2.0}}, "metrics.average must be at least 0 and at most 1"),
        ({"seed": "1"}, "seed: expected an integer, got '1'"),
        ({"stages": [7]}, "stages[0]: expected a table"),
        ({"texts": {"../../notes": "0" * 64}}, "'../../notes' is no file of a run"),
    ],
)
def test_values_that_cannot_be_are_refused_behind_a_right_digest(tmp_path, values, line):
    folder = make_run(tmp_path, "a")
    change(folder, **values)
    text = refusal(folder)
    assert text.startswith("/record.json: ") and line in text


@pytest.mark.parametrize(
    "text",
    [
        '{"finished": 7}',
        '{"device": 3}',
        '{"device": {"accelerators": [1]}}',
        '{"seconds": {"train": NaN}}',
        '{"seconds": {"train": -1}}',
        '{"git": []}',
        '{"versions": {"torch": 2}}',
        "[]",
        "[" * 100_000,
    ],
)
def test_measurements_that_cannot_be_are_named_and_the_other_runs_listed(tmp_path, text):
    folder = make_run(tmp_path, "a")
    make_run(tmp_path, "b")
    (folder / "measured.json").write_text(text)
    damaged, whole = list_runs(tmp_path)
    assert damaged.problem.startswith(f"{folder}/measured.json: ")
    assert (whole.name, whole.problem) == ("b", "")


def spoil(path: Path, how: str) -> None:
    """Put something in a file's place."""
    path.unlink(missing_ok=True)
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "huge":
        path.touch()
        os.truncate(path, 20 << 30)
    else:
        path.symlink_to(how)


@pytest.mark.parametrize("how", ["pipe", "folder", "huge", "/etc/passwd", "/dev/zero"])
@pytest.mark.parametrize("name", ["record.json", "measured.json", "config.toml", "rows.jsonl"])
def test_a_run_with_something_else_in_a_files_place_is_named_and_the_others_listed(
    tmp_path, name, how
):
    unfinished = name == "config.toml"
    folder = make_run(tmp_path, "a", finished=not unfinished)
    make_run(tmp_path, "b")
    spoil(folder / name, how)
    damaged, whole = list_runs(tmp_path)
    assert damaged.problem.startswith(f"{folder}/{name}: ") and "root:" not in damaged.problem
    assert (whole.name, whole.problem) == ("b", "")


def test_a_folder_that_cannot_be_looked_into_is_named_and_the_others_listed(tmp_path, monkeypatch):
    make_run(tmp_path, "a")
    make_run(tmp_path, "b")

    def locked(path, **how):
        if "/a/" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return os.stat(path, **how)

    with disk(undisturbed) as made:
        monkeypatch.setattr(made, "stat", locked, raising=False)
        monkeypatch.setattr(made, "lstat", locked, raising=False)
        damaged, other = list_runs(tmp_path)
    assert damaged.problem == f"{tmp_path}/a/record.json: Permission denied."
    assert (other.name, other.problem) == ("b", "")


@pytest.mark.parametrize("name", ["pseudo.jsonl", "config.toml"])
def test_other_files_that_a_record_speaks_of_are_vouched_for(tmp_path, name):
    folder = make_run(tmp_path, "a")
    files.write_text(folder / name, "told")
    stated = files.sha256_file(folder / name)
    spoken = {"config_digest": stated} if name == "config.toml" else {"texts": {name: stated}}
    change(folder, **spoken)
    assert read_record(folder)["name"] == "a"
    (folder / name).write_text("other")
    assert refusal(folder) == f"/{name}: altered; its sha256 is not the one in record.json."
    (folder / name).unlink()
    if name == "pseudo.jsonl":
        assert refusal(folder) == f"/{name}: missing; the run's record speaks of it."


def test_files_that_a_record_does_not_speak_of_are_refused(tmp_path):
    folder = make_run(tmp_path, "a")
    (folder / "attention.json").write_text("{}")
    assert refusal(folder) == "/attention.json: the run's record does not speak of it."
    (folder / "attention.json").unlink()
    (folder / "skills").mkdir()
    change(folder, config_digest=files.sha256_file(folder / "config.toml"))
    assert refusal(folder) == "/skills: the run's record does not speak of it."
    change(folder, skills_digest="0" * 64)
    assert refusal(folder).startswith("/skills/versions/0001/manifest.json: missing;")
