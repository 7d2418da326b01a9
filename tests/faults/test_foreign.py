"""What lies in a run's folder and is not its own: refused, named, never followed or removed."""

import os
import shutil
from pathlib import Path

import pytest

from amlora import files, load
from amlora.errors import InputError
from amlora.experiment.run import OURS, run
from amlora.experiment.settings import load_settings
from broken_disk import contents
from command import amlora
from stored import read_record


@pytest.fixture
def finished(undisturbed, tmp_path) -> Path:
    """A copy of a finished run that may be changed, in a folder of runs."""
    return shutil.copytree(undisturbed.folder, tmp_path / "runs" / undisturbed.folder.name)


@pytest.fixture(scope="session")
def another(undisturbed, tmp_path_factory) -> Path:
    """The folder of a finished run with another seed; read it only."""
    settings = load_settings(undisturbed.file, ["seed=2"])
    return run(settings, runs=tmp_path_factory.mktemp("another"))


def refusal(settings, folder: Path, *, force: bool = False) -> str:
    """Return why a run is refused, in one line, and check that nothing was written or removed."""
    before = sorted((path, os.lstat(path).st_mtime_ns) for path in folder.rglob("*"))
    with pytest.raises(InputError) as caught:
        run(settings, runs=folder.parent, force=force)
    after = sorted((path, os.lstat(path).st_mtime_ns) for path in folder.rglob("*"))
    kept = [each for each in after if each[0].name != ".lock"]
    assert kept == [each for each in before if each[0].name != ".lock"]
    text = str(caught.value)
    assert text.startswith(str(folder)) and "\n" not in text
    return text.removeprefix(str(folder))


def test_a_record_that_is_not_this_runs_does_not_finish_it_and_the_checkpoint_stays(
    undisturbed, finished, another
):
    (finished / "checkpoint").mkdir()
    (finished / "checkpoint" / "current.json").write_text("{}")
    record = finished / "record.json"
    for data, reason in (
        (b"", "/record.json: not JSON"),
        (b"{}", "/record.json: altered or damaged"),
        ((another / "record.json").read_bytes(), "/attention.json: altered"),
    ):
        record.write_bytes(data)
        found = refusal(undisturbed.settings, finished)
        assert found.startswith(reason) and "--force" in found
    for name in ("rows.jsonl", "attention.json", "config.toml"):
        shutil.copy(another / name, finished / name)
    shutil.copytree(another / "skills", finished / "skills", dirs_exist_ok=True)
    found = refusal(undisturbed.settings, finished)
    assert found.startswith(": setting seed is 1, was 2 since this run began; --force starts it")


def test_a_whole_record_finishes_its_run(undisturbed, finished):
    before = contents(finished)
    assert run(undisturbed.settings, runs=finished.parent) == finished
    assert contents(finished) == before


@pytest.mark.parametrize("name", [*OURS, "checkpoint/state-1.safetensors", "skills/CURRENT"])
@pytest.mark.parametrize("force", [False, True], ids=["", "force"])
def test_links_in_a_run_folder_are_refused_and_nothing_is_written_where_they_lead(
    undisturbed, finished, tmp_path, name, force
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model-1.safetensors").write_text("weights")
    place = finished / name
    files.remove(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere if "." not in name[1:] else elsewhere / "model-1.safetensors")
    assert refusal(undisturbed.settings, finished, force=force).startswith(f"/{name}: a link")
    assert [path.read_text() for path in elsewhere.iterdir()] == ["weights"]


@pytest.mark.parametrize("name", ["record.json", "log.jsonl", ".lock", "config.toml"])
def test_pipes_in_a_run_folder_are_refused_at_once(undisturbed, finished, name):
    (finished / name).unlink(missing_ok=True)
    os.mkfifo(finished / name)
    assert refusal(undisturbed.settings, finished).startswith(f"/{name}: a pipe")


def test_a_run_folder_that_is_a_link_is_not_run_in(undisturbed, finished, tmp_path):
    link = tmp_path / "linked" / finished.name
    link.parent.mkdir()
    link.symlink_to(finished)
    with pytest.raises(InputError, match="a link; a run writes to a folder of its own"):
        run(undisturbed.settings, runs=link.parent, force=True)
    assert read_record(link) == read_record(finished)
    whole = tmp_path / "whole"
    whole.symlink_to(finished.parent)
    assert run(undisturbed.settings, runs=whole) == whole / finished.name


def test_starting_over_keeps_what_is_not_ours(undisturbed, finished):
    (finished / "notes.txt").write_text("mine")
    (finished / "figures").mkdir()
    (finished / "figures" / "a.svg").write_text("mine")
    run(undisturbed.settings, runs=finished.parent, force=True)
    assert (finished / "notes.txt").read_text() == "mine"
    assert (finished / "figures" / "a.svg").read_text() == "mine"


@pytest.mark.parametrize("name", ["skills", "config.toml", "attention.json"])
def test_what_another_run_wrote_is_not_taken_for_this_runs(finished, another, name):
    files.remove(finished / name)
    copy = shutil.copytree if name == "skills" else shutil.copy
    copy(another / name, finished / name)
    place = finished / ("skills/versions/0001/manifest.json" if name == "skills" else name)
    with pytest.raises(InputError, match="altered; its sha256") as caught:
        read_record(finished)
    assert str(place) in str(caught.value)


def test_skills_of_another_run_are_not_loaded_with_a_run(finished, another):
    shutil.rmtree(finished / "skills")
    shutil.copytree(another / "skills", finished / "skills")
    with pytest.raises(InputError, match=r"manifest\.json: altered; its sha256"):
        load(finished)


@pytest.mark.parametrize("how", ["device", "pipe", "link"])
def test_a_report_is_written_over_regular_files_alone(finished, tmp_path, how):
    out = tmp_path / "report.html"
    (tmp_path / "a.html").write_text("mine")
    if how == "pipe":
        os.mkfifo(out)
    elif how == "link":
        out.symlink_to("a.html")
    else:
        out = Path("/dev/null")
    before = os.lstat(out)
    status, _, said = amlora("report", finished, "--out", out, "--force")
    assert status == 2 and said.startswith(f"amlora: {out}: a {how}; only regular files")
    assert os.lstat(out).st_ino == before.st_ino
    assert (tmp_path / "a.html").read_text() == "mine"
    line = "amlora: /proc/x.html: no file can be made there: no such folder.\n"
    assert amlora("report", finished, "--out", "/proc/x.html")[::2] == (2, line)
