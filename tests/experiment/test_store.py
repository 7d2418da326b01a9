"""Run folders: listed, found by name, and read only when unaltered."""

from pathlib import Path

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.experiment.store import find_run, find_runs, list_runs, read_record

ROW = '{"after": 0, "task": "a", "row": "test:0", "hit": true}\n'


def make_run(runs: Path, name: str, *, finished: bool = True, average: float = 0.5) -> Path:
    """Write a run's folder as a run leaves it."""
    folder = runs / name
    folder.mkdir(parents=True)
    toml = f'name = "{name}"\nseed = 3\n[method]\nname = "am_lora"\n'
    files.write_text(folder / "config.toml", toml)
    if not finished:
        (folder / "checkpoint").mkdir()
        return folder
    settings = {"name": name, "seed": 3}
    files.write_text(folder / "rows.jsonl", ROW)
    files.write_json(folder / "measured.json", {"finished": "2030-01-02T03:04:05+00:00"})
    record = {
        "format": 1,
        "name": name,
        "seed": 3,
        "method": "am_lora",
        "settings": settings,
        "settings_digest": files.digest(settings),
        "model": {"name": "tiny"},
        "tasks": [{"name": "a", "test": 1}],
        "R": [[0.0], [average]],
        "stages": [],
        "metrics": {"average": average, "forgetting": None},
        "rows_digest": files.sha256_file(folder / "rows.jsonl"),
        "attention_digest": None,
    }
    files.write_sealed(folder / "record.json", record)
    return folder


def change(folder: Path, **values: object) -> None:
    """Change entries of a record and seal it again, as another program might."""
    record = files.read_sealed(folder / "record.json")
    del record["digest"]
    files.write_sealed(folder / "record.json", {**record, **values})


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


def test_a_run_is_found_by_its_path_wherever_it_is(tmp_path):
    folder = make_run(tmp_path / "elsewhere", "alpha-1")
    assert find_run(str(folder), tmp_path / "runs") == folder


def test_a_whole_name_wins_over_longer_names_that_begin_so(tmp_path):
    folder = make_run(tmp_path, "alpha")
    make_run(tmp_path, "alpha-2")
    assert find_run("alpha", tmp_path) == folder


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
    with pytest.raises(InputError, match="not a run folder"):
        find_runs([str(tmp_path / "empty")], tmp_path)


def test_an_unaltered_record_is_read(tmp_path):
    assert read_record(make_run(tmp_path, "a"))["metrics"]["average"] == 0.5


def test_an_unfinished_run_has_no_record_to_read(tmp_path):
    folder = make_run(tmp_path, "a", finished=False)
    assert refusal(folder).startswith(": not finished;")


def test_altered_rows_are_named_and_refused(tmp_path):
    folder = make_run(tmp_path, "a")
    (folder / "rows.jsonl").write_text(ROW.replace("true", "false"))
    assert refusal(folder).startswith("/rows.jsonl: altered;")


def test_missing_rows_are_named_and_refused(tmp_path):
    folder = make_run(tmp_path, "a")
    (folder / "rows.jsonl").unlink()
    assert refusal(folder).startswith("/rows.jsonl: missing;")


def test_an_altered_attention_file_is_named_and_refused(tmp_path):
    folder = make_run(tmp_path, "a")
    files.write_json(folder / "attention.json", {"loras": []})
    change(folder, attention_digest="0" * 64)
    assert refusal(folder).startswith("/attention.json: altered;")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"settings": {"name": "a", "seed": 4}}, "/record.json: altered; its settings"),
        ({"format": 2}, "/record.json: not a record of format 1."),
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
    assert refusal(folder) == f"/record.json: altered or damaged; it lacks {key!r}."
