"""The only writer of our files: all or nothing."""

import errno
import multiprocessing
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.errors import InputError, nearest
from broken_disk import Fails, disk, whole
from refused import refusal


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
    said = refusal(files.read_json, path)
    assert str(path) in said and message in said


def test_tensors_survive_and_a_cut_file_or_another_hash_is_refused(tmp_path):
    path, tensor = tmp_path / "t.safetensors", torch.arange(6.0).view(2, 3).T
    for tensors, metadata in (({}, {}), ({"a": tensor}, {"k": "v"})):
        files.write_bytes(path, files.tensor_bytes(tensors, metadata))
        read = files.read_tensors(path, sha256=files.sha256_file(path))
        assert read.keys() == tensors.keys()
    assert torch.equal(read["a"], tensor)
    assert "t.safetensors: altered" in refusal(files.read_tensors, path, sha256="0" * 64)
    path.write_bytes(path.read_bytes()[:-1])
    assert "t.safetensors: not a whole safetensors file" in refusal(files.read_tensors, path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "link/x"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    assert "leads out of the folder" in refusal(files.inside, folder, name)
    assert files.inside(folder, "sub/a") == folder / "sub" / "a"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1e-05", "2e-05", "altered"),
        ("1e-05", "1E-05", "altered"),  # the same number
        ('{\n "a"', '{"a"', "altered"),  # the same value
        ("1e-05", "NaN", "NaN is not a finite number"),
        ("1e-05", "1e999", "1e999 is not a finite number"),
        ("1e-05", '"\\ud800"', "half a character"),
        ("digest", "digset", "altered"),
    ],
)
def test_a_sealed_file_is_refused_unless_it_is_what_was_written(tmp_path, old, new, message):
    path = tmp_path / "a.json"
    files.write_sealed(path, {"a": 1e-5, "b": ["é", None]})
    assert files.read_sealed(path)["a"] == 1e-5
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    said = refusal(files.read_sealed, path)
    assert "a.json: " in said and message in said


def test_a_full_disk_names_the_file_that_did_not_fit(tmp_path):
    for write, at in ((files.write_text, 2), (files.append_line, 3)):
        writes = Fails(at, errno.ENOSPC, for_ever=True)
        with disk(writes) as counted, pytest.raises(OSError, match="No space left") as caught:
            write(tmp_path / "a", "text")
        assert counted.done[at - 2 : at] == ["open", "write"]
        assert caught.value.filename == str(tmp_path / "a")


def test_a_line_that_did_not_fit_is_not_left_half_written(tmp_path):
    files.append_line(tmp_path / "log", "one")
    with disk(Fails(3, errno.ENOSPC, for_ever=False)), pytest.raises(OSError):
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


@pytest.fixture(params=["link", "dangling link", "pipe", "device", "folder", "socket"])
def special(request, tmp_path, monkeypatch):
    """A path at which something other than a regular file is, and nobody's at the other end."""
    path, elsewhere = tmp_path / "special", tmp_path / "elsewhere"
    elsewhere.write_text("{}")
    if request.param == "link":
        path.symlink_to(elsewhere)
    elif request.param == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path = Path("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    else:
        monkeypatch.chdir(tmp_path)  # the name of a socket may have a hundred letters
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("special")
    yield path
    assert elsewhere.read_text() == "{}" and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "use",
    [
        files.read_bytes,
        files.read_json,
        files.read_sealed,
        files.sha256_file,
        files.read_tensors,
        lambda path: files.write_text(path, "text"),
        lambda path: files.append_line(path, "text"),
    ],
    ids=["read", "json", "sealed", "hash", "tensors", "write", "append"],
)
def test_only_regular_files_are_read_and_replaced(special, use):
    before = os.lstat(special)
    said = refusal(use, special)
    assert str(special) in said and "only regular files are read and written here" in said
    assert os.lstat(special).st_ino == before.st_ino
    assert not list(special.parent.glob(f"{files.TEMPORARY}*"))


def test_what_the_user_names_may_be_a_link_to_a_regular_file_alone(tmp_path):
    (tmp_path / "a").write_text("{}")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert files.read_bytes(tmp_path / "link", follow=True) == b"{}"
    assert files.sha256_file(tmp_path / "link", follow=True) == files.sha256_file(tmp_path / "a")
    assert "zero: a device" in refusal(files.read_bytes, tmp_path / "zero", follow=True)


def test_a_file_of_any_stated_size_is_refused_unread(tmp_path):
    path = tmp_path / "a.json"
    path.touch()
    os.truncate(path, 20 << 30)  # it takes no room on the disk
    for read in (files.read_json, files.read_sealed):
        assert "a.json: more than 268,435,456 bytes" in refusal(read, path)
    states_no_size = Path("/proc/self/maps")
    assert "more than 10 bytes" in refusal(files.read_bytes, states_no_size, most=10)


def test_a_place_where_no_file_can_be_made_is_named(tmp_path):
    for path in (Path("/proc/x.html"), tmp_path / "none" / "x.html"):
        said = refusal(files.write_text, path, "text")
        assert said.startswith(f"{path}: no file can be made there")


def test_the_nearest_name_is_suggested_only_when_it_is_near():
    assert nearest("rnk", ["rank", "alpha"]) == "; did you mean 'rank'?"
    assert nearest("zzz", ["rank", "alpha"]) == ""
