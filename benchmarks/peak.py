"""The most memory that one kind of work holds, measured in a process of its own.

    python benchmarks/peak.py train 15 MODEL      prints {"model": bytes, "peak": bytes}

`MODEL` is what `model.name` takes. The peak is the kernel's own count for this process, VmHWM,
which a process inherits from nobody (the count that `getrusage` gives is passed on by its parent).
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

from learner import grown, one_step
from scoring import score
from subjects import Subject
from words import made_up

from amlora.engine.settings import ModelSettings

Kind = Literal["train", "evaluate"]
ROWS, TEXT = 60, (50, 90)
"""Rows that are scored, and tokens of their texts."""


def peak_bytes(work: Kind, loras: int, subject: Subject) -> tuple[int, int]:
    """Return the most bytes held while the model is loaded, and the most held in all."""
    command = [sys.executable, __file__, work, str(loras), subject.settings.name]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(told.splitlines()[-1])
    return found["model"], found["peak"]


def highest() -> int:
    """Return the most bytes that this process has held at once."""
    return counted("VmHWM")


def resident() -> int:
    """Return the bytes that this process holds now."""
    return counted("VmRSS")


def counted(name: str) -> int:
    """Return one of the kernel's counts of bytes for this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def main() -> None:
    """Load the model, and do the work twice, so that what stays from one step is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=("train", "evaluate"))
    parser.add_argument("loras", type=int)
    parser.add_argument("model")
    chosen = parser.parse_args()
    subject = Subject("", ModelSettings(name=chosen.model))
    subject.load()
    loaded = highest()
    if chosen.work == "train":
        run = one_step(subject, chosen.loras)
        run()
        run()
    else:
        backbone = grown(subject, chosen.loras).backbone
        data = made_up(backbone, rows=ROWS, instruction=0, text=TEXT)
        score(backbone, data)
    print(json.dumps({"model": loaded, "peak": highest()}))


if __name__ == "__main__":
    main()
