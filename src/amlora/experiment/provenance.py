"""Where a result comes from, and what differs between two equal runs: versions, machine, times.

No host or user names.
"""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from amlora.engine.checkpoint import RunProgress
from amlora.records.beside import Measured

PACKAGES = (
    *("amlora", "torch", "transformers", "accelerate", "safetensors", "pydantic", "tokenizers"),
    *("peft", "datasets", "gguf", "scipy", "matplotlib", "jinja2"),
)
GIT_SECONDS = 10  # a `git status` that takes longer is treated as "not known"


def provenance(folder: Path | None = None) -> dict[str, Any]:
    """Return {"versions", "git", "device"}; `folder` (amlora's own) is asked for its commit."""
    return {
        "versions": versions(),
        "git": git_state(folder or Path(__file__).parent),
        "device": device_facts(),
    }


def versions() -> dict[str, str]:
    """Return the version of Python and of every installed package that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """Return {"commit": 40 digits, "dirty": bool} of the repository that holds a folder.

    Both are None where there is no repository, no commit yet, or no git. Untracked files do not
    make it dirty.
    """
    commit = git(folder, "rev-parse", "--verify", "HEAD")
    changes = git(folder, "status", "--porcelain", "--untracked-files=no")
    known = commit is not None and changes is not None
    return {"commit": commit if known else None, "dirty": bool(changes) if known else None}


def git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints, or None when it fails."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def device_facts() -> dict[str, Any]:
    """Return the kind of machine: accelerators by name and memory (bytes), threads, platform."""
    cards = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory_bytes(),
        "cuda": torch.version.cuda,
        "accelerators": [{"name": c.name, "memory_bytes": c.total_memory} for c in cards],
    }


def cpu_name() -> str:
    """Return the processor's model name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory_bytes() -> int | None:
    """Return the machine's memory, or None where the system does not tell it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


DECISIVE = ("python", "torch", "transformers", "tokenizers")
"""Packages whose version can change the last bits of a result."""


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """Return what decides the last bits of a result beside its settings."""
    found = versions()
    return {
        **{name: found[name] for name in DECISIVE},
        "threads": torch.get_num_threads(),
        "processes": accelerator.num_processes,
        "device": str(accelerator.device.type),
    }


def measured(progress: RunProgress, device: torch.device) -> Measured:
    """Return the contents of measured.json, from what a run booked and this process knows.

    Seconds are those of all processes that worked on the run one after another.
    """
    seconds, tokens = progress.seconds, sum(stage.tokens for stage in progress.stages)
    scored, reading = progress.scored_rows, progress.prefill_seconds
    found = {
        **provenance(),
        "seconds": {**seconds, "total": sum(seconds.values())},
        "tokens": {"trained": tokens},
        "tokens_per_second": tokens / seconds["train"],
        "scored_rows_per_second": scored / seconds["evaluate"],
        "prefill_rows_per_second": scored / reading if reading else None,
        "peak_memory_bytes": peak_memory(device),
        "environments": progress.environments,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Measured.model_validate(found)


def peak_memory(device: torch.device) -> int:
    """Return the most memory this process held, in bytes: of the accelerator where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
