"""How one step's rows and gradients are split over processes, seen from one process."""

import os
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from amlora.cli import rank
from amlora.cli.main import main
from amlora.engine.batch import micro_batches, task_loss
from amlora.engine.encode import Row
from amlora.engine.optimiser import BUCKET, buckets
from amlora.errors import InputError
from amlora.experiment.run import run
from processes.conftest import make_settings
from trained import load_base

ROWS = [Row("t", str(i), (1, *range(40, 41 + i)), (90 + i % 2, 2), "x") for i in range(7)]


@pytest.mark.parametrize("processes", [1, 2, 4, 16])
def test_every_row_of_a_step_is_in_one_process_once(llama_folder, processes):
    base = load_base(llama_folder)
    shares = [
        micro_batches(ROWS, base, size=2, process=process, processes=processes)
        for process in range(processes)
    ]
    seen = [row.row for share in shares for batch in share for row in batch.rows]
    assert sorted(seen) == [row.row for row in ROWS]
    sizes = [sum(len(batch.rows) for batch in share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_the_losses_of_all_processes_add_up_to_that_of_one(any_folder):
    base = load_base(any_folder)
    base.model.eval()

    def loss(processes: int) -> torch.Tensor:
        with torch.no_grad():
            parts = [
                task_loss(base, batch)
                for process in range(processes)
                for batch in micro_batches(ROWS, base, size=3, process=process, processes=processes)
            ]
        return torch.stack(parts).sum()

    torch.testing.assert_close(loss(2), loss(1))
    torch.testing.assert_close(loss(4), loss(1))


def test_buckets_keep_order_split_types_and_leave_a_large_weight_alone():
    def weight(size: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
        return nn.Parameter(torch.empty(size, dtype=dtype, device="meta"))

    half = BUCKET // 2
    weights = [weight(half), weight(half), weight(1), weight(BUCKET + 1), weight(1)]
    weights.append(weight(1, torch.bfloat16))
    found = list(buckets(weights))
    assert [len(bucket) for bucket in found] == [2, 1, 1, 1, 1]
    assert [id(w) for bucket in found for w in bucket] == [id(w) for w in weights]
    assert list(buckets([])) == []


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("ACCELERATE_USE_FSDP", "FSDP"),
        ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed"),
        ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "a parallelism config"),
    ],
)
def test_launches_that_shard_weights_are_refused(
    llama_folder, task_files, tmp_path, monkeypatch, variable, name
):
    monkeypatch.setenv(variable, "true")
    settings = make_settings(llama_folder, task_files, "am_lora")
    with pytest.raises(InputError) as refused:
        run(settings, runs=tmp_path / "runs")
    assert str(refused.value).startswith(f"{name} ({variable}) is not supported: ")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()


@pytest.fixture(params=["RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"])
def second(request, monkeypatch):
    """This process is the second of two, as each launcher says it."""
    monkeypatch.setenv(request.param, "1")
    monkeypatch.setenv(rank.NUMBERS[request.param], "2")
    monkeypatch.setattr(rank, "PATIENCE", 0.0)


def test_only_the_first_process_prints(second, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["version"])
    assert capsys.readouterr().out == ""


def test_another_process_whose_input_alone_is_wrong_says_which_it_is(second, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "./absent.toml"])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("amlora: process 1: ")


def test_a_number_without_a_count_is_no_launch(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert (rank.number(), rank.processes()) == (0, 1)


DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); rank.GRACE = 0.5; "


@pytest.mark.parametrize("how", ["", DEAF], ids=["listening", "deaf"])
def test_a_process_whose_launcher_is_killed_ends(how):
    wait = f"from amlora.cli import rank; {how}rank.stop_without_launcher(); print(1, flush=True)"
    child = f"import time; {wait}; time.sleep(100)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    environment = os.environ | {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    ) as launcher:
        assert launcher.stdout is not None
        launcher.stdout.readline()
        launcher.kill()
        killed = time.monotonic()
        launcher.stdout.read()  # the child holds the other end until it ends
    assert time.monotonic() - killed < 60
