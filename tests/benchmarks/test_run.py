"""The benchmarks run, in sizes that take seconds; what a smoke run measures means nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def bench_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks in a new process, where a FutureWarning is an error."""
    command = [sys.executable, "-W", "error::FutureWarning", "benchmarks/run.py", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def kept() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in RESULTS.iterdir()}


def test_a_smoke_run_prints_rows_and_keeps_and_judges_nothing():
    before = kept()
    done = bench_run("--smoke", "layer", "cost")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("layer / frozen linear") for line in lines) == 3
    assert lines[-1] == "bench: smoke sizes, nothing is judged or kept"
    assert not any("met" in line.split() or "MISSED" in line for line in lines)
    assert kept() == before


def test_an_unknown_benchmark_is_one_clear_line(bench, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "layers"])
    with pytest.raises(SystemExit) as ended:
        bench("run").main()
    assert ended.value.code == 2
    assert "unknown: layers; there are layer, cost, step" in capsys.readouterr().err


@pytest.mark.slow
def test_every_benchmark_runs_at_smoke_size():
    done = bench_run("--smoke")
    assert done.returncode == 0, done.stderr
    assert "does not run" not in done.stdout
    assert done.stdout.count("X-LoRA") == 4
    assert "warning" not in done.stderr.lower()
