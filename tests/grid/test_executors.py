"""Executors: each calls in a process of its own, tells what became of it, and can be stopped."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor
from pathlib import Path

import pytest

from amlora.errors import InputError
from amlora.grid.executors import Here, make, processes
from calls import die, die_hard, interrupted, place, wait_to_be_stopped

TESTS = Path(__file__).parents[1]
PATIENCE = 60.0


@pytest.fixture(params=["processes", "slurm", pytest.param("ray", marks=pytest.mark.slow)])
def elsewhere(request, tmp_path, monkeypatch):
    """Each executor of other processes, the clusters in their local modes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *sys.path]))
    if request.param == "ray":
        ray = pytest.importorskip("ray")
        monkeypatch.setenv("RAY_worker_niceness", "0")  # or a busy machine hardly lets them work
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    options = {"slurm": {"cluster": "local", "timeout_min": 1}, "ray": {"num_cpus": 1}}
    yield make(request.param, options.get(request.param, {}), jobs=1, logs=tmp_path / "logs")
    if request.param == "ray":
        ray.shutdown()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


def test_a_call_is_made_in_a_process_of_its_own_and_stopped_ones_save(
    elsewhere: Executor, tmp_path
):
    first = elsewhere.submit(place).result(PATIENCE)
    assert first[0] != os.getpid() and elsewhere.submit(place).result(PATIENCE)[0] != first[0]
    file = tmp_path / "begun"
    future = elsewhere.submit(wait_to_be_stopped, file)
    wait_for(file)
    elsewhere.shutdown(wait=False, cancel_futures=True)
    wait_for(Path(f"{file}.saved"))
    assert future.exception(PATIENCE) is None and future.result() == "saved"


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", ["slurm"], indirect=True)
def test_a_job_whose_time_is_up_is_queued_again(elsewhere: Executor, tmp_path):
    file = tmp_path / "begun"
    future = elsewhere.submit(wait_to_be_stopped, file)
    wait_for(file)
    first = file.read_text()
    os.kill(int(first), signal.SIGUSR2)  # as Slurm does before it ends a job
    deadline = time.monotonic() + PATIENCE
    while file.read_text() in ("", first):
        assert time.monotonic() < deadline, "the job is not begun again"
        time.sleep(0.05)
    elsewhere.shutdown(wait=False, cancel_futures=True)
    assert future.result(PATIENCE) == "saved"


def test_a_process_has_its_threads_and_a_session_and_says_how_it_died():
    executor = processes(3)
    assert executor.submit(place).result(PATIENCE)[1] == "3"
    session = executor.submit(os.getsid, 0).result(PATIENCE)
    assert session != os.getsid(0)
    told = {
        -9: "its process was ended by signal 9; is there enough memory?",
        -15: "its process was ended by signal 15.",
        7: "its process ended with status 7.",
    }
    deaths = {status: executor.submit(die, status) for status in told}
    assert {status: str(each.exception(PATIENCE)) for status, each in deaths.items()} == told
    error = executor.submit(interrupted).exception(PATIENCE)
    assert str(error) == "its process was asked to stop; the same command goes on."


def test_a_process_that_does_not_heed_the_first_request_is_ended_by_the_second(tmp_path):
    executor, file = processes(1), tmp_path / "begun"
    future = executor.submit(die_hard, file)
    wait_for(file)
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(TimeoutError):
        future.result(0.2)
    executor.shutdown(wait=True, cancel_futures=True)
    assert "signal 9" in str(future.exception(PATIENCE))


ALONE = """
from pathlib import Path
from amlora.grid.executors import processes
from calls import wait_to_be_stopped
if __name__ == "__main__":
    processes(1).submit(wait_to_be_stopped, Path({file!r})).result()
"""


def test_a_process_is_asked_to_stop_when_the_one_that_started_it_is_killed(tmp_path):
    file, script = tmp_path / "begun", tmp_path / "alone.py"
    script.write_text(ALONE.format(file=str(file)))
    path = os.pathsep.join([str(TESTS), *sys.path])
    with subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path}
    ) as process:
        wait_for(file)
        process.kill()
    wait_for(Path(f"{file}.saved"))


def test_this_process_calls_at_once_and_lets_an_interrupt_through():
    assert Here().submit(place).result()[0] == os.getpid()
    assert isinstance(Here().submit(int, "x").exception(), ValueError)
    with pytest.raises(KeyboardInterrupt):
        Here().submit(interrupted)


@pytest.mark.parametrize(
    ("where", "options", "line"),
    [
        ("here", {"a": 1}, "--with: --on here has no options."),
        (
            "slurm",
            {"cluster": "local", "gpu": 1},
            "--on slurm: Parameter 'gpu' need to be prefixed",
        ),
        (
            "slurm",
            {"cluster": "local", "timeout_min": "x"},
            '--on slurm: Parameter "timeout_min" exp',
        ),
        ("slurm", {"cluster": "none"}, "--on slurm: AutoExecutor doesn't know any executor named"),
        ("slurm", {}, '--on slurm: Could not detect "srun"'),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, where, options, line):
    with pytest.raises(InputError) as refused:
        make(where, options, jobs=1, logs=tmp_path)
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("where", "name"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_one_line_that_says_how_to_install_it(
    tmp_path, monkeypatch, where, name
):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as refused:
        make(where, {}, jobs=1, logs=tmp_path)
    assert str(refused.value) == (
        f"--on {where} needs the package {name}: pip install 'amlora[{where}]'."
    )
