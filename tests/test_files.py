"""The only writer of our files: all or nothing."""

import errno
import multiprocessing
import os
import shutil
import threading

import pytest
import torch

from amlora import files
from amlora.errors import InputError, nearest
from broken_disk import Fails, disk, whole


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


def test_a_file_without_tensors_can_be_read_again(tmp_path):
    files.write_tensors(tmp_path / "none", {}, {})
    assert files.read_tensors(tmp_path / "none") == {}


def test_tensors_of_another_hash_are_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    stated = files.write_tensors(path, {"a": torch.ones(2)}, {})
    assert torch.equal(files.read_tensors(path, sha256=stated)["a"], torch.ones(2))
    files.write_tensors(path, {"a": torch.zeros(2)}, {})
    with pytest.raises(InputError, match=r"t\.safetensors: altered"):
        files.read_tensors(path, sha256=stated)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1e-05", "2e-05"),
        ("1e-05", "1E-05"),  # the same number
        ('{\n "a"', '{"a"'),  # the same value
        ("1e-05", "NaN"),
        ("1e-05", "1e999"),
        ("1e-05", '"\\ud800"'),
        ("digest", "digset"),
    ],
)
def test_a_sealed_file_is_refused_unless_it_is_what_was_written(tmp_path, old, new):
    path = tmp_path / "a.json"
    files.write_sealed(path, {"a": 1e-5, "b": ["é", None]})
    assert files.read_sealed(path)["a"] == 1e-5
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=r"a\.json: altered") as caught:
        files.read_sealed(path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_names_the_file_that_did_not_fit(tmp_path):
    writes = Fails(2, errno.ENOSPC, for_ever=True)  # the first operation opens the file
    for write in (files.write_text, files.append_line):
        with disk(writes) as counted, pytest.raises(OSError, match="No space left") as caught:
            write(tmp_path / "a", "text")
        assert counted.done[:2] == ["open", "write"]
        assert caught.value.filename == str(tmp_path / "a")


def test_a_line_that_did_not_fit_is_not_left_half_written(tmp_path):
    files.append_line(tmp_path / "log", "one")
    with disk(Fails(2, errno.ENOSPC, for_ever=False)), pytest.raises(OSError):
        files.append_line(tmp_path / "log", "two")
    files.append_line(tmp_path / "log", "three")
    assert (tmp_path / "log").read_text() == "one\nthree\n"


def test_a_disk_that_cannot_tell_whether_a_file_is_there_is_an_error(tmp_path):
    assert not files.exists(tmp_path / "a")
    with disk(Fails(1, errno.EIO, for_ever=False)), pytest.raises(OSError, match="Input/output"):
        files.exists(tmp_path / "a")


def test_a_folder_whose_removal_is_cut_short_is_gone_and_swept_up_later(tmp_path):
    (tmp_path / "old").mkdir()
    files.write_text(tmp_path / "old" / "a", "text")
    with disk(whole) as counted:
        files.discard(shutil.copytree(tmp_path / "old", tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
    for at in range(2, len(counted.done) + 1):
        folder = shutil.copytree(tmp_path / "old", tmp_path / "copy")
        with disk(Fails(at, errno.EIO, for_ever=True)), pytest.raises(OSError):
            files.discard(folder)
        assert not folder.exists()
        files.sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_what_another_program_wrote_is_put_in_place_and_the_rest_removed(tmp_path):
    with files.temporary_folder(tmp_path) as temporary:
        (temporary / "made").mkdir()
        (temporary / "made" / "a").write_text("text")
        (temporary / "rest").write_text("")
        files.put(temporary / "made", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "a").read_text() == "text"


def test_who_waits_for_a_folder_gets_it_when_it_is_let_go(tmp_path):
    order = []

    def second():
        with files.lock(tmp_path, wait=True):
            order.append("second")

    with files.lock(tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(20)
    assert order == ["first", "second"]


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
