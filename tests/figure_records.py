"""Records and attention of finished runs as figures read them, small enough to work out by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amlora import files
from amlora.records.run import StoredRun as Run
from amlora.records.store import read_run
from stored import write_record

TASKS = ("a", "b", "c")
MATRIX = (
    (0.1, 0.0, 0.2),
    (0.9, 0.1, 0.2),
    (0.8, 0.7, 0.3),
    (0.6, 0.5, 1.0),
)
MODULES = tuple(f"h.{layer}.attn.{kind}_proj" for layer in (0, 1) for kind in "qv")
DEFAULTS = {"selectors": "all", "sparsity": 1e-5, "sparsity_form": "loss", "gain": "one"}


def lower(by: float) -> list[list[float]]:
    """Return the matrix with every score after the first row lower."""
    return [
        list(MATRIX[0]),
        *[[max(0.0, round(score - by, 9)) for score in row] for row in MATRIX[1:]],
    ]


def attention(
    tasks: Sequence[str] = TASKS,
    *,
    modules: Sequence[str] = MODULES,
    own: float = 0.4,
    top90: float = 0.0,
    effective: float = 1.0,
    picked: float | None = 0.5,
) -> dict[str, Any]:
    """Return an attention.json: a task's own LoRA has the score `own`, others share the rest."""
    rest = (1 - own) / len(tasks)
    return {
        "modules": list(modules),
        "loras": ["none", *tasks],
        "tasks": list(tasks),
        "mean": [
            [[own if name == task else rest for name in ("none", *tasks)] for _ in modules]
            for task in tasks
        ],
        "top90": [[top90] * len(modules) for _ in tasks],
        "effective": [[effective] * len(modules) for _ in tasks],
        "picked": [[picked] * len(modules) for _ in tasks],
    }


def write_run(
    store: Path,
    method: str = "am_lora",
    R: Sequence[Sequence[float | None]] = MATRIX,
    *,
    name: str = "",
    seed: int = 0,
    lr: float = 1e-3,
    tasks: Sequence[str] = TASKS,
    stream: str = "a7",
    split: str = "test",
    scores: dict[str, Any] | None = None,
    routing: dict[str, Any] | None = None,
    **own: Any,
) -> Path:
    """Write the folder of a run in a folder of runs.

    R has two rows for joint learning; the name is by default the method's; `stream` is a byte of
    the digest of its tasks, `scores` its attention.json, `own` are settings of the method.
    """
    settings = {
        "name": name or method,
        "seed": seed,
        "method": {"name": method, **(DEFAULTS if method == "am_lora" else {}), **own},
        "train": {"lr": lr},
        "evaluate": {"split": split},
    }
    folder = store / f"{name or method}-{files.digest([settings, stream])[:8]}-{seed}"
    more = {"stream_digest": stream * 32, "routing": routing}
    rows = dict.fromkeys(tasks, 20)
    return write_record(folder, settings, rows, R, method=method, attention=scores, **more)


def a_run(store: Path, *words: Any, **options: Any) -> Run:
    """Write a run and read it."""
    return read_run(write_run(store, *words, **options))


def four_schemes(store: Path) -> list[Run]:
    """Return runs of figure 5, each scheme five points apart, all of seed 0."""
    return [
        a_run(store, name="new", R=lower(0.15), selectors="new", sparsity=0.0),
        a_run(store, name="new-l1", R=lower(0.10), selectors="new"),
        a_run(store, name="all", R=lower(0.05), sparsity=0.0),
        a_run(store, scores=attention()),
    ]
