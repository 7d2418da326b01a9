"""Where cells are worked on: this process, processes here, a Slurm cluster, a Ray cluster.

Each is a `concurrent.futures.Executor`, so any other one serves a sweep as well. `shutdown` with
`cancel_futures` asks what runs to save its state and to end, and asked again to end at once.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from amlora.errors import InputError

Where = Literal["here", "processes", "slurm", "ray"]
STOPPED = 130  # exit status of a process that was asked to stop and saved its state


def make(where: Where, options: Mapping[str, Any], *, jobs: int, logs: Path) -> Executor:
    """Make an executor.

    Args:
        where: which one.
        options: of submitit's executor or of Ray's tasks, by their own names.
        jobs: processes here at a time, which share the threads.
        logs: the folder for submitit's.

    Raises:
        InputError: a package is not installed, an option is refused, or there is no cluster.
    """
    if options and where in ("here", "processes"):
        raise InputError(f"--with: --on {where} has no options.")
    try:
        if where == "slurm":
            return slurm_jobs(options, logs)
        if where == "ray":
            return ray_tasks(options)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--on {where} needs the package {error.name}: pip install 'amlora[{where}]'."
        ) from None
    except (NameError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"--on {where}: {str(error).splitlines()[0]}") from None
    if where == "here":
        return Here()
    import torch

    return processes(max(1, torch.get_num_threads() // jobs))


class Here(Executor):
    """This process: a call is over when `submit` returns, and Ctrl-C goes through to it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Elsewhere(Executor):
    """Jobs in other processes, each with a thread here that waits for its result."""

    def __init__(
        self,
        start: Callable[[Callable[[], Any]], Any],
        result: Callable[[Any], Any],
        stop: Callable[[Any, bool], object],
    ) -> None:
        """Keep how a job is started, waited for, and stopped: at a step's end, or at once."""
        self.start, self.result, self.stop = start, result, stop
        self.jobs: dict[Future[Any], Any] = {}
        self.stopping = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a job."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.jobs[future] = job = self.start(partial(fn, *args, **kwargs))
        threading.Thread(target=self.follow, args=(future, job), daemon=True).start()
        return future

    def follow(self, future: Future[Any], job: Any) -> None:
        """Book how a job ended."""
        try:
            future.set_result(self.result(job))
        except BaseException as error:
            future.set_exception(error)
        del self.jobs[future]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ask all jobs to stop, if so wished, and wait for them."""
        if cancel_futures:
            for job in [*self.jobs.values()]:
                self.stop(job, self.stopping)
            self.stopping = True
        if wait:
            futures.wait([*self.jobs])


def slurm_jobs(options: Mapping[str, Any], logs: Path) -> Executor:
    """Make jobs of a Slurm cluster; submitit queues, places and requeues them, and keeps logs."""
    import submitit
    from submitit.helpers import Checkpointable

    class Resumable(Checkpointable):
        """A call that is queued again when its time is up: the run's checkpoint goes on."""

        def __call__(self, call: Callable[[], Any]) -> Any:
            return call()

    engine = submitit.AutoExecutor(logs, cluster=options.get("cluster", "slurm"))
    engine.update_parameters(**{key: options[key] for key in options if key != "cluster"})
    return Elsewhere(
        lambda call: engine.submit(Resumable(), call),
        lambda job: job.result(),
        lambda job, at_once: job.cancel(check=False),  # which gives it some seconds to save
    )


def ray_tasks(options: Mapping[str, Any]) -> Executor:
    """Make tasks of a Ray cluster, each in a process of its own; Ray places and retries them."""
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False)

    def called(call: Callable[[], Any]) -> Any:
        return call()

    task = ray.remote(max_calls=1, **options)(called)
    return Elsewhere(
        task.remote,
        ray.get,
        lambda job, at_once: ray.cancel(job, force=at_once),  # as Ctrl-C does, then by a kill
    )


def processes(threads: int, method: str = "spawn") -> Executor:
    """Make processes, a fresh one for each job, so that its memory and its death are its own.

    Each leads a session: a terminal's Ctrl-C reaches the grid alone, which passes it on once.
    Should the grid die, its processes notice, save and end.
    """
    context: Any = multiprocessing.get_context(method)

    def start(call: Callable[[], Any]) -> Any:
        ours, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs, threads))
        process.start()
        theirs.close()
        ours.send(call)  # not an argument: it is heard when the process can already be stopped
        return process, ours

    def result(job: Any) -> Any:
        process, pipe = job
        try:
            with pipe:
                return pipe.recv()
        except (EOFError, OSError):
            process.join()
            raise InputError(ending(process.exitcode)) from None
        finally:
            process.join()  # its memory is free before another one starts

    def stop(job: Any, at_once: bool) -> None:
        process, _ = job
        process.kill() if at_once else process.terminate()

    return Elsewhere(start, result, stop)


def child(pipe: Any, threads: int) -> None:
    """Be the process of one job."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(2, 1)  # the grid's output is for its results
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
    threading.Thread(target=stop_when_alone, daemon=True).start()
    try:
        found = pipe.recv()()
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    with suppress(BrokenPipeError):  # the grid is gone
        pipe.send(found)


def stop_when_alone() -> None:
    """Wait until the process that started this one is gone, then ask this one to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def ending(status: int) -> str:
    """Say how a process without a result ended."""
    if status == STOPPED:
        return "its process was asked to stop; the same command goes on."
    if status >= 0:
        return f"its process ended with status {status}."
    memory = "; is there enough memory?" if status == -signal.SIGKILL else "."
    return f"its process was ended by signal {-status}{memory}"
