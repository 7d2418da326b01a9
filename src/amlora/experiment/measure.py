"""What differs between two equal runs: times, memory, versions, machine."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from accelerate import Accelerator

from amlora.experiment.provenance import provenance, versions

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


def measured(so_far: Mapping[str, Any], accelerator: Accelerator) -> dict[str, Any]:
    """Return the contents of measured.json, from what a run booked and this process knows.

    Seconds are those of all processes that worked on the run one after another.
    """
    seconds = dict(so_far["seconds"])
    tokens = sum(stage["tokens"] for stage in so_far["stages"])
    return {
        **provenance(),
        "seconds": {**seconds, "total": sum(seconds.values())},
        "tokens": {"trained": tokens},
        "tokens_per_second": tokens / seconds["train"],
        "scored_rows_per_second": so_far["scored_rows"] / seconds["evaluate"],
        # None for a run whose evaluations were all done by a version that did not time this.
        "prefill_rows_per_second": (
            so_far["scored_rows"] / so_far["prefill_seconds"] if so_far["prefill_seconds"] else None
        ),
        "peak_memory_bytes": peak_memory(accelerator.device),
        "environments": so_far["environments"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory(device: torch.device) -> int:
    """Return the most memory this process held, in bytes: of the accelerator where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
