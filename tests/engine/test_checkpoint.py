"""Checkpoints: whole or refused."""

import pytest
import torch

from amlora import files
from amlora.engine.checkpoint import (
    COMMIT,
    Checkpoint,
    Phase,
    RunProgress,
    check_place,
    load,
    read_rows,
    save,
    write_rows,
)
from amlora.engine.optimiser import load_moments
from amlora.engine.train import StageProgress
from amlora.errors import InputError
from amlora.records.schema import StageFacts

ENDED = StageFacts(
    task="one", steps=1, rows=1, tokens=1, trainable_parameters=1, stored_parameters=0
)


def within(step: int, losses: int | None = None) -> StageProgress:
    moments = {"0.exp_avg": torch.ones(3) * step, "0.step": torch.tensor(float(step))}
    losses = step if losses is None else losses
    return StageProgress(
        step=step, losses=[0.1] * losses, tokens=7, terms={"task": 0.1}, moments=moments
    )


def point(step: int = 1, *, stage: int = 1, phase: Phase = "train", **changes) -> Checkpoint:
    """A checkpoint at a step of the second of two stages."""
    progress = {"R": [[0.5, None]] * 2, "stages": [ENDED], **changes}
    return Checkpoint(
        stage=stage,
        phase=phase,
        values={"names": ["one"]},
        tensors={"layer.a": torch.full((2, 3), float(step))},
        progress=RunProgress(**progress),
        within=within(step),
        environment={"torch": "2", "threads": 2},
        facts={"the model's weights": "0" * 64},
    )


def test_what_is_saved_is_what_is_loaded(tmp_path):
    saved = point(5)
    save(tmp_path, saved)
    found = load(tmp_path)
    assert found is not None
    assert torch.equal(found.state.tensors["layer.a"], saved.state.tensors["layer.a"])
    assert found.state.values == {"names": ["one"]} and found.environment == saved.environment
    assert (found.stage, found.phase, found.progress) == (1, "train", saved.progress)
    assert found.within.losses == [0.1] * 5 and found.within.moments["0.step"] == 5
    check_place(tmp_path, found, [9, 9], 2)


def test_a_folder_without_a_commit_holds_no_checkpoint(tmp_path):
    save(tmp_path, point())
    (tmp_path / COMMIT).unlink()
    assert load(tmp_path) is None
    assert load(tmp_path / "nowhere") is None


def test_only_the_newest_checkpoint_is_kept_and_foreign_files_are_left_alone(tmp_path):
    foreign = ["model.safetensors", "model-00001-of-00002.safetensors"]
    for name in foreign:
        (tmp_path / name).write_bytes(b"")
    for step in range(4):
        save(tmp_path, point(step))
    assert len(list(tmp_path.iterdir())) == 3 + len(foreign)
    found = load(tmp_path)
    assert found is not None and found.within.step == 3


@pytest.mark.parametrize("name", ["state", "moments", COMMIT])
def test_an_altered_or_missing_file_is_named_and_refused(tmp_path, name):
    save(tmp_path, point())
    path = next(tmp_path.glob(f"{name}*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=path.name):
        load(tmp_path)
    path.unlink()
    if name != COMMIT:
        with pytest.raises(InputError, match=path.name):
            load(tmp_path)


def test_rows_are_kept_in_their_order_and_checked(tmp_path):
    hashes = [write_rows(tmp_path, number, f"{number}\n") for number in (1, 2)]
    assert read_rows(tmp_path, hashes) == b"1\n2\n"
    with pytest.raises(InputError, match=r"rows-0001\.jsonl: altered"):
        read_rows(tmp_path, hashes[::-1])
    with pytest.raises(InputError, match=r"rows-0003\.jsonl: no such file"):
        read_rows(tmp_path, [*hashes, hashes[0]])


VALUES = {
    "format": lambda v: v.update(format=9),
    "stage -1": lambda v: v.update(stage=-1),
    "stage '1'": lambda v: v.update(stage="1"),
    "phase": lambda v: v.update(phase="end"),
    "values": lambda v: v.update(values=[]),
    "environment": lambda v: v.update(environment=None),
    "no file": lambda v: v["tensors"].pop("moments"),
    "file": lambda v: v["tensors"]["state"].update(file="../../state-1.safetensors"),
    "sha256": lambda v: v["tensors"]["state"].update(sha256="0"),
    "step": lambda v: v["within"].update(step=-1),
    "tokens": lambda v: v["within"].update(tokens=1e300),
    "losses": lambda v: v["within"].update(losses=["low"]),
    "R": lambda v: v["progress"].update(R=[[1.5, None]]),
    "rows": lambda v: v["progress"].update(rows=7),
    "seconds": lambda v: v["progress"].update(seconds={"load": -1}),
    "progress": lambda v: v.update(progress=None),
    "something else": lambda v: v.update(news=1),
}
"""What whoever writes a checkpoint can seal."""


@pytest.mark.parametrize("case", VALUES)
def test_values_that_no_checkpoint_has_are_refused_in_one_line(tmp_path, case):
    save(tmp_path, point())
    value = files.read_sealed(tmp_path / COMMIT)
    del value["digest"]
    VALUES[case](value)
    files.write_sealed(tmp_path / COMMIT, value)
    with pytest.raises(InputError, match=r"current\.json: .*start the run over") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_no_number_is_refused_and_named(tmp_path):
    wrong = point()
    wrong.within.moments["0.exp_avg"][1] = torch.nan
    save(tmp_path, wrong)
    with pytest.raises(InputError, match=r"moments-1\.safetensors: 0\.exp_avg: "):
        load(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (point(stage=99), "stage 99"),
        (point(stage=2), "stage 2"),
        (point(999), "step 999"),
        (point().model_copy(update={"within": within(2, losses=1)}), "1 losses of 2 steps"),
        (point(R=[[0.5, None]]), "1 rows of R at stage 1"),
        (point(R=[[0.5, None]] * 3), "3 rows of R at stage 1"),
        (point(stages=[]), "at stage 1"),
        (point(R=[[0.5]] * 2), "1 values, but there are 2 tasks"),
        (point(phase="begin"), "step 1"),
        (
            point(0, stage=2, phase="begin", R=[[0.5, None]] * 3, stages=[ENDED] * 2),
            "no seconds of training",
        ),
    ],
)
def test_a_place_that_the_run_has_not_is_refused(tmp_path, wrong, said):
    with pytest.raises(InputError, match=said):
        check_place(tmp_path, wrong, [9, 9], 2)


@pytest.mark.parametrize(
    ("changes", "said"),
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
def test_moments_that_fit_no_weight_are_refused_and_named(changes, said):
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([weight])
    whole = {"0.step": torch.tensor(5.0), "0.exp_avg": torch.ones(3), "0.exp_avg_sq": torch.ones(3)}
    load_moments(optimiser, whole)
    given = {name: tensor for name, tensor in {**whole, **changes}.items() if tensor is not None}
    with pytest.raises(InputError, match=f"moments: .*{said}"):
        load_moments(optimiser, given)
