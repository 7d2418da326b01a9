"""Name the machine that figures were measured on, without its host name."""

import os
import platform
import re
import time
from pathlib import Path

import torch

LISTENING = 2.0
"""Seconds over which other work is looked for."""


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
    used = -time.process_time()
    before, start = processor_seconds(), time.perf_counter()
    time.sleep(LISTENING)
    used += time.process_time()
    cores = len(os.sched_getaffinity(0))
    others = (processor_seconds() - before - used) / (time.perf_counter() - start)
    return f"other work is running ({others:.1f} of {cores} cores)" if others > cores / 8 else ""


def processor_seconds() -> float:
    """Return the seconds that all cores together have worked since the start; 0 if not told."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    # user, nice, system, idle, iowait, ...: the fourth and fifth are waiting.
    return (sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])) / os.sysconf("SC_CLK_TCK")


def file_name(values: dict[str, str | int]) -> str:
    """Return a file name of the processor and its cores: "amd-epyc-2-cores"."""
    words = re.sub(r"[^a-z0-9]+", "-", str(values["cpu"]).lower()).strip("-")
    return f"{words}-{values['cores']}-cores"
