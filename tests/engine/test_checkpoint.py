"""Checkpoints: whole or refused."""

import dataclasses

import pytest
import torch

from amlora import files
from amlora.engine.checkpoint import (
    COMMIT,
    Checkpoint,
    check_place,
    load,
    read_rows,
    save,
    write_rows,
)
from amlora.engine.optimiser import load_moments
from amlora.errors import InputError
from amlora.experiment.stages import fresh_progress
from amlora.methods.base import State


def made(step: int) -> Checkpoint:
    return Checkpoint(
        stage=1,
        phase="train",
        state=State({"layer.a": torch.full((2, 3), float(step))}, {"names": ["one"]}),
        moments={"0.exp_avg": torch.ones(3) * step, "0.step": torch.tensor(float(step))},
        progress={
            **fresh_progress({"torch": "2"}),
            "R": [[0.5, None]],
            "stage": {"step": step, "losses": [0.1], "tokens": 7, "terms": {}},
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


def edited(folder, change) -> None:
    """Change a checkpoint's plain values and seal them again, as whoever writes it can."""
    save(folder, made(5))
    value = files.read_sealed(folder / COMMIT)
    del value["digest"]
    change(value)
    files.write_sealed(folder / COMMIT, value)


VALUES = {
    "stage -1": lambda v: v.update(stage=-1),
    "stage '1'": lambda v: v.update(stage="1"),
    "phase": lambda v: v.update(phase="end"),
    "values": lambda v: v.update(values=[]),
    "environment": lambda v: v.update(environment=None),
    "files": lambda v: v["files"].pop("moments"),
    "file": lambda v: v["files"]["state"].update(file="../../state-1.safetensors"),
    "sha256": lambda v: v["files"]["state"].update(sha256="0"),
    "step": lambda v: v["progress"]["stage"].update(step=-1),
    "tokens": lambda v: v["progress"]["stage"].update(tokens=1e300),
    "losses": lambda v: v["progress"]["stage"].update(losses=["low"]),
    "no losses": lambda v: v["progress"]["stage"].pop("losses"),
    "R": lambda v: v["progress"].update(R=[[1.5, None]]),
    "rows": lambda v: v["progress"].update(rows=7),
    "seconds": lambda v: v["progress"].update(seconds={"load": -1}),
    "progress": lambda v: v.update(progress=None),
    "something else": lambda v: v.update(news=1),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_no_checkpoint_has_are_refused_in_one_line(tmp_path, case):
    edited(tmp_path, VALUES[case])
    with pytest.raises(InputError, match=r"current\.json: .*start the run over") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_no_number_is_refused_and_named(tmp_path):
    point = made(5)
    point.moments["0.exp_avg"][1] = torch.nan
    save(tmp_path, point)
    with pytest.raises(InputError, match=r"moments-1\.safetensors: 0\.exp_avg: "):
        load(tmp_path)


def test_a_place_that_the_run_has_is_accepted(tmp_path):
    save(tmp_path, placed())
    found = load(tmp_path)
    assert found is not None
    check_place(tmp_path, found, [9, 9], 2)


ENDED = {
    "task": "one",
    "losses": [0.1],
    **dict.fromkeys(("steps", "rows", "tokens", "trainable_parameters"), 1),
    **dict.fromkeys(("stored_parameters", "stored_examples"), 0),
}
"""What is told of the first stage."""


def placed(**changes) -> Checkpoint:
    """A checkpoint at step 1 of the second of two stages."""
    point = made(1)
    point.progress |= {"R": [[0.5, None]] * 2, "stages": [ENDED], **changes}
    return point


def ended() -> Checkpoint:
    """A checkpoint at the end of both stages that says nothing of the time they took."""
    within = {"step": 0, "losses": [], "tokens": 0}
    point = placed(stage=within, R=[[0.5, None]] * 3, stages=[ENDED] * 2)
    return dataclasses.replace(point, stage=2, phase="begin")


@pytest.mark.parametrize(
    ("point", "told"),
    [
        (dataclasses.replace(placed(), stage=99), "stage 99"),
        (dataclasses.replace(placed(), stage=2), "stage 2"),
        (placed(stage={"step": 999, "losses": [0.1] * 999, "tokens": 7}), "step 999"),
        (
            placed(stage={"step": 2, "losses": [0.1], "tokens": 7, "terms": {}}),
            "1 losses of 2 steps",
        ),
        (placed(R=[[0.5, None]]), "1 rows of R at stage 1"),
        (placed(R=[[0.5, None]] * 3), "3 rows of R at stage 1"),
        (placed(stages=[]), "at stage 1"),
        (placed(R=[[0.5]] * 2), "1 values, but there are 2 tasks"),
        (dataclasses.replace(placed(), phase="begin"), "step 1"),
        (ended(), "no seconds of training"),
    ],
)
def test_a_place_that_the_run_has_not_is_refused(tmp_path, point, told):
    with pytest.raises(InputError, match=told):
        check_place(tmp_path, point, [9, 9], 2)


def test_foreign_tensor_files_are_left_alone(tmp_path):
    for name in ("model.safetensors", "model-00001-of-00002.safetensors"):
        (tmp_path / name).write_bytes(b"")
    save(tmp_path, made(5))
    assert len(list(tmp_path.glob("model*"))) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"0.step": None}, "0.step"),
        ({"7.step": torch.tensor(1.0)}, "7."),
        ({"x": torch.ones(3)}, "x"),
        ({"0.exp_avg": torch.ones(4)}, r"shape \(4,\)"),
        ({"0.exp_avg": torch.ones(3).double()}, "float64"),
        ({"0.exp_avg": torch.full((3,), torch.inf)}, "not finite"),
        ({"0.exp_avg_sq": -torch.ones(3)}, "at least 0"),
    ],
)
def test_moments_that_fit_no_weight_are_refused_and_named(changes, told):
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([weight])
    whole = {"0.step": torch.tensor(5.0), "0.exp_avg": torch.ones(3), "0.exp_avg_sq": torch.ones(3)}
    load_moments(optimiser, whole)
    given = {name: tensor for name, tensor in {**whole, **changes}.items() if tensor is not None}
    with pytest.raises(InputError, match=f"moments: .*{told}"):
        load_moments(optimiser, given)
