"""Name the machine that figures were measured on, without its host name."""

import os
import platform
import re
from pathlib import Path

import torch


def machine() -> dict[str, str | int]:
    """Return what decides speed here: processor, cores, threads and versions."""
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def cpu() -> str:
    """Return the processor's model."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = re.findall(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return names[0] if names else platform.machine()


def busy() -> str:
    """Say that other work is running, or return "": ratios of threaded code then mean little."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    return f"other work is running (load {load:.1f} on {cores} cores)" if load > cores / 2 else ""


def file_name(values: dict[str, str | int]) -> str:
    """Return a file name of the processor and its cores: "amd-epyc-2-cores"."""
    words = re.sub(r"[^a-z0-9]+", "-", str(values["cpu"]).lower()).strip("-")
    return f"{words}-{values['cores']}-cores"
