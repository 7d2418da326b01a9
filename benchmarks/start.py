"""How long `amlora --help` takes, in seconds of a new process: the one bar that is no ratio."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from row import Row
from size import Size


def rows(size: Size) -> Iterator[Row]:
    """Start the command line a few times."""
    command = [str(Path(sys.executable).with_name("amlora")), "--help"]
    seconds: list[float] = []
    for _ in range({"full": 9, "quick": 3, "smoke": 1}[size]):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    yield Row(
        name="amlora --help, seconds",
        ratio=statistics.median(seconds),
        bar=0.3,
        detail="median of a new process",
    )
