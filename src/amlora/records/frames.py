"""Runs as data frames, so that a researcher works in pandas."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora.errors import InputError, nearest
from amlora.evaluate.metrics import mean_or_none
from amlora.records.alike import line_of
from amlora.records.run import StoredRun
from amlora.records.schema import Record
from amlora.records.store import read_runs

if TYPE_CHECKING:
    from pandas import DataFrame

ROUTED = ("stages", "posterior", "distance")


def results(path: str | Path | Sequence[str | Path], table: str = "runs") -> "DataFrame":
    """Read runs into a data frame.

    Args:
        path: a folder of runs, a run, a pack, or several of them.
        table: "runs" (a row a run), "scores" (run, stage, task), "rows" (each decision) or
            "attention" (run, task, module, lora).

    Raises:
        InputError: nothing to read there, something altered, or no such table.
    """
    if table not in TABLES:
        known = ", ".join(TABLES)
        raise InputError(f"table: {table!r} is none of {known}{nearest(table, TABLES)}.")
    several = [path] if isinstance(path, str | Path) else path
    return frame(read_runs([str(each) for each in several]), table)


def frame(runs: Sequence[StoredRun], table: str = "runs") -> "DataFrame":
    """Return a table of runs that are read already; `run` is the name of a run's folder."""
    from pandas import DataFrame

    columns, rows = TABLES[table]
    found = [
        {whole(name): whole(value) for name, value in row.items()}
        for run in runs
        for row in rows(run)
    ]
    return DataFrame(found, columns=columns if not found or columns else None)


def whole(value: Any) -> Any:
    """Spell out half a letter, as a folder's name may hold and a frame may not."""
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    return value


def run_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """Give the row of a run: what it is, its metrics, what it took, and its settings."""
    record, measured = run.record, run.measured
    settings, stages = dict(flat("", record.settings)), record.stages
    known = {
        "run": run.name,
        "name": record.name,
        "method": record.method,
        "method_version": record.method_version,
        "seed": record.seed,
        "model": record.model.name,
        "fingerprint": record.model.fingerprint,
        "stream": record.stream_digest,
        "order": settings.get("stream.order", ""),
        "split": settings.get("evaluate.split", ""),
        "zero_shot": mean_or_none(record.R[0]),
        **record.metrics.model_dump(),
        "trained": max((stage.trainable_parameters for stage in stages), default=None),
        "stored_parameters": stages[-1].stored_parameters if stages else None,
        "stored_examples": stages[-1].stored_examples if stages else None,
        "stages_counted": sum(bool(stage.terms) for stage in stages),
        "stages_idle": sum(bool(stage.terms and stage.remarks) for stage in stages),
        "routed_right": routed_right(record),
        **general(record),
        "seconds": measured.seconds.get("total"),
        "peak_memory_bytes": measured.peak_memory_bytes,
        "line": line_of(record),
    }
    yield known | {name: value for name, value in settings.items() if name not in known}


def routed_right(record: Record) -> float | None:
    """Return the share of a run's last rows that their own task's stage answered, 0..1."""
    routing = record.routing
    if routing is None or not set(routing.tasks) <= set(routing.stages):
        return None
    rows = {task.name: task.scored for task in record.tasks}
    right = [
        shares[routing.stages.index(task)] * rows[task]
        for task, shares in zip(routing.tasks, routing.shares, strict=True)
    ]
    return sum(right) / sum(rows[task] for task in routing.tasks)


def general(record: Record) -> dict[str, float | None]:
    """Return what was measured on texts and questions of no task: nats per token, and shares."""
    found: dict[str, float | None] = {}
    for name, each in zip(("_before", ""), record.general, strict=False):
        found[f"general_loss{name}"] = each.loss
        found[f"general_right{name}"] = each.right / each.questions
        found[f"general_begun{name}"] = each.begun / each.questions
        found[f"general_rejected{name}"] = each.rejected
    return found


def flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give nested settings by dotted path, without name and seed, which are columns already."""
    for name, each in value.items():
        if isinstance(each, Mapping):
            yield from flat(f"{path}{name}.", each)
        elif path or name not in ("name", "seed"):
            yield f"{path}{name}", each


def score_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """Give each score; stage -1 is before learning, phase "entered" before the stage learned."""
    record = run.record
    entered = zip(record.entered_stages, record.entered, strict=True)
    moments = [
        (-1, "before", record.R[0]),
        *((stage, "learned", row) for stage, row in enumerate(record.R[1:])),
        *((stage, "entered", row) for stage, row in entered),
    ]
    for stage, phase, scores in moments:
        for task, score in zip(record.tasks, scores, strict=True):
            if score is not None:
                yield {
                    "run": run.name,
                    "stage": stage,
                    "phase": phase,
                    "task": task.name,
                    "score": score,
                    "rows": task.scored,
                }


def decision_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """Give each row's decision; what a route tells is missing where rows have none."""
    for row in run.rows:
        value = row.model_dump(exclude={*ROUTED} - row.model_fields_set)
        yield {"run": run.name, "stage": value.pop("after"), **value}


def attention_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """Give each LoRA's mean score; the zero LoRA is "none"."""
    found = run.attention
    if found is None:
        return
    for task, modules in zip(found.tasks, found.mean, strict=True):
        for module, scores in zip(found.modules, modules, strict=True):
            for lora, score in zip(found.loras, scores, strict=True):
                yield {
                    "run": run.name,
                    "task": task,
                    "module": module,
                    "lora": lora,
                    "score": score,
                }


TABLES: dict[str, tuple[list[str] | None, Callable[[StoredRun], Iterator[dict[str, Any]]]]] = {
    "runs": (None, run_rows),
    "scores": (["run", "stage", "phase", "task", "score", "rows"], score_rows),
    "rows": (
        ["run", "stage", "phase", "task", "row", "hit", "how", "answer", "gold", *ROUTED],
        decision_rows,
    ),
    "attention": (["run", "task", "module", "lora", "score"], attention_rows),
}
"""By name: its columns, None where they depend on the settings, and the rows of a run."""
