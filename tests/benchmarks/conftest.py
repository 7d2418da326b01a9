"""The modules of the benchmarks, which are scripts and no package."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch) -> Iterator[Callable[[str], Any]]:
    """Import a benchmark's module by name; afterwards it is as if that never happened."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if Path(vars(module).get("__file__") or "").parent == FOLDER:
            del sys.modules[name]
