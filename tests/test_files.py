"""The only writer of our files: all or nothing."""

import multiprocessing
import os

import pytest
import torch

from amlora import files
from amlora.errors import InputError, nearest


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"new": 2})
    assert files.read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_equal_values_give_equal_bytes(tmp_path):
    files.write_json(tmp_path / "a", {"x": 1, "y": 2})
    files.write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert files.digest({"x": 1, "y": 2}) == files.digest({"y": 2, "x": 1})


def test_numbers_that_are_not_finite_are_never_written(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a", float("nan"))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [(b'{"a": 1,\n\n}', "line 3: not JSON"), (b"\xff", "not UTF-8 at byte 0"), (None, "no such")],
)
def test_unreadable_json_is_named_with_its_place(tmp_path, data, message):
    path = tmp_path / "a.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        files.read_json(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_tensors_survive_and_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    files.write_tensors(path, {"a": torch.arange(6.0).view(2, 3).T}, {"k": "v"})
    assert torch.equal(files.read_tensors(path)["a"], torch.arange(6.0).view(2, 3).T)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"t\.safetensors: not a whole safetensors file"):
        files.read_tensors(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "link/x"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leads out of the folder"):
        files.inside(folder, name)
    assert files.inside(folder, "sub/a") == folder / "sub" / "a"


def hold(folder, ready, leave):
    with files.lock(folder):
        ready.set()
        leave.wait(20)


def test_a_second_process_on_a_folder_is_refused(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, leave))
    other.start()
    assert ready.wait(20)
    with pytest.raises(InputError, match="another process is writing here"), files.lock(tmp_path):
        pass
    leave.set()
    other.join(20)
    with files.lock(tmp_path):
        pass


def test_what_a_killed_writer_left_is_swept(tmp_path):
    (tmp_path / f"{files.TEMPORARY}x").write_text("half")
    (tmp_path / f"{files.TEMPORARY}d").mkdir()
    (tmp_path / "kept").write_text("whole")
    files.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_the_nearest_name_is_suggested_only_when_it_is_near():
    assert nearest("rnk", ["rank", "alpha"]) == "; did you mean 'rank'?"
    assert nearest("zzz", ["rank", "alpha"]) == ""
