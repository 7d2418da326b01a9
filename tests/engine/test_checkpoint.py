"""Checkpoints: whole or refused."""

import pytest
import torch

from amlora import files
from amlora.engine.checkpoint import COMMIT, Checkpoint, load, read_rows, save, write_rows
from amlora.errors import InputError
from amlora.methods.base import State


def made(step: int) -> Checkpoint:
    return Checkpoint(
        stage=1,
        phase="train",
        state=State({"layer.a": torch.full((2, 3), float(step))}, {"names": ["one"]}),
        moments={"0.exp_avg": torch.ones(3) * step, "0.step": torch.tensor(float(step))},
        progress={
            "R": [[0.5, None]],
            "rows": [],
            "stage": {"step": step, "losses": [0.1], "tokens": 7},
        },
        environment={"torch": "2", "threads": 2},
    )


def test_what_is_saved_is_what_is_loaded(tmp_path):
    save(tmp_path, made(5))
    found = load(tmp_path)
    assert found is not None
    assert torch.equal(found.state.tensors["layer.a"], made(5).state.tensors["layer.a"])
    assert (found.stage, found.phase, found.progress) == (1, "train", made(5).progress)
    assert found.state.values == {"names": ["one"]}
    assert found.moments["0.step"] == 5


def test_a_folder_without_a_commit_holds_no_checkpoint(tmp_path):
    save(tmp_path, made(5))
    (tmp_path / COMMIT).unlink()
    assert load(tmp_path) is None
    assert load(tmp_path / "nowhere") is None


def test_only_the_newest_checkpoint_is_kept(tmp_path):
    for step in range(4):
        save(tmp_path, made(step))
    assert len(list(tmp_path.iterdir())) == 3
    found = load(tmp_path)
    assert found is not None and found.progress["stage"]["step"] == 3


@pytest.mark.parametrize("name", ["state", "moments", COMMIT])
def test_an_altered_file_is_named_and_refused(tmp_path, name):
    save(tmp_path, made(5))
    path = next(tmp_path.glob(f"{name}*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=path.name):
        load(tmp_path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    save(tmp_path, made(5))
    value = files.read_sealed(tmp_path / COMMIT)
    del value["digest"]
    files.write_sealed(tmp_path / COMMIT, {**value, "format": 2})
    with pytest.raises(InputError, match="not a checkpoint of format 1"):
        load(tmp_path)


def test_rows_are_kept_in_their_order_and_checked(tmp_path):
    hashes = [write_rows(tmp_path, number, f"{number}\n") for number in (1, 2)]
    assert read_rows(tmp_path, hashes) == b"1\n2\n"
    with pytest.raises(InputError, match=r"rows-0001\.jsonl: altered"):
        read_rows(tmp_path, hashes[::-1])
    with pytest.raises(InputError, match=r"rows-0003\.jsonl: no such file"):
        read_rows(tmp_path, [*hashes, hashes[0]])


def test_a_missing_file_is_named(tmp_path):
    save(tmp_path, made(5))
    path = next(tmp_path.glob("state*"))
    path.unlink()
    with pytest.raises(InputError, match=path.name):
        load(tmp_path)
