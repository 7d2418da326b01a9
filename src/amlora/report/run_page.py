"""What the page shows of one run that its record does not say by itself."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pandas import DataFrame

from amlora.records.beside import Device
from amlora.records.frames import frame
from amlora.records.run import StoredRun
from amlora.records.schema import Record
from amlora.report.figures import heat_panels
from amlora.report.format import count, percent, seconds, size
from amlora.report.matrix import Line, accuracy_lines, entered_lines, is_joint, name_of
from amlora.report.studies import attention_frames

NONE = "none"  # the base model, where a route ends at no stage
SHOWN = 20  # rows that are listed one by one
DRAWN = 6  # tasks whose attention is drawn


def joint(record: Record) -> bool:
    """Tell whether one stage was made to learn all of the record's tasks."""
    names = [task.name for task in record.tasks]
    return record.boundaries is None and is_joint(names, [stage.task for stage in record.stages])


def matrices(record: Record) -> tuple[list[Line], list[Line]]:
    """Return the accuracy matrix, and what newcomers' entries did before they learned."""
    names = [task.name for task in record.tasks]
    sizes = [task.scored for task in record.tasks]
    found = record.boundaries and record.boundaries.course
    return (
        accuracy_lines(names, sizes, record.R, joint=joint(record), found=found),
        entered_lines(names, sizes, record.R, record.entered, record.entered_stages, found=found),
    )


def last_rows(run: StoredRun) -> DataFrame:
    """Return the rows of a run's last evaluation; `hit_then`: right after the own stage."""
    names = [task.name for task in run.record.tasks]
    found = run.record.boundaries
    own = dict(zip(names, found.learned if found else range(1, len(names) + 1), strict=True))
    rows = frame([run], "rows")
    rows = rows[rows["phase"] == "learned"]
    keys = ["task", "row"]
    then = rows[rows["stage"] == rows["task"].map(own) - 1].set_index(keys)[["hit"]]
    last = rows[rows["stage"] == rows["stage"].max()]
    return (
        last.join(then.set_axis(["hit_then"], axis=1), on=keys)
        if not joint(run.record)
        else last.assign(hit_then=None)
    )


def flips(rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Return how many answers changed since their task was learned, and rows that were lost."""
    both = rows.dropna(subset="hit_then")
    was, is_ = both["hit_then"].astype(bool), both["hit"].astype(bool)
    kinds = {
        "rows": was | ~was,
        "stayed right": was & is_,
        "right, then wrong": was & ~is_,
        "wrong, then right": ~was & is_,
        "stayed wrong": ~was & ~is_,
    }
    counts = DataFrame(kinds).groupby(both["task"], sort=False).sum().map("{:,}".format)
    lost = both[was & ~is_].head(SHOWN)
    answer = lost["answer"].fillna("not written out").astype(str)
    listed = {"row": lost["task"] + ", " + lost["row"], "right answer": lost["gold"]}
    return counts.reset_index(), DataFrame({**listed, "answer at the end": answer})


def beliefs(rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Return what each task's rows were taken for, and the least sure rows; empty without routes.

    Those beyond a limit come first.
    """
    rows = rows.dropna(subset="posterior")
    if rows.empty:
        return rows, rows

    def share(column: str, stage: str | None = None) -> list[float]:
        each = zip(rows[column], rows["task"], strict=True)
        return [(named or {}).get(stage or task, 0.0) for named, task in each]

    told = rows.assign(
        own=share("posterior"),
        sent=share("stages"),
        base=share("stages", NONE),
        near=rows["distance"] <= 1,
        far=-rows["distance"],
    )
    tasks = told.groupby("task", sort=False)
    table = DataFrame(
        {
            "rows": tasks.size().map("{:,}".format),
            "sent to its own stage, %": tasks["sent"].mean().map(percent),
            "to the base model, %": tasks["base"].mean().map(percent),
            "own stage's posterior, mean": tasks["own"].mean().map("{:.3f}".format),
            "lowest": tasks["own"].min().map("{:.3f}".format),
            "distance, mean": tasks["distance"].mean().map("{:.2f}".format),
            "largest": tasks["distance"].max().map("{:.2f}".format),
        }
    )
    unsure = told.sort_values(["near", "own", "far", "task", "row"]).head(SHOWN)
    listed = {
        "row": unsure["task"] + ", " + unsure["row"],
        "posterior": unsure["posterior"].map(largest),
        "answered by": unsure["stages"].map(largest),
        "answer": unsure["hit"].map({True: "right", False: "wrong"}),
        "distance": unsure["distance"].map("{:.2f}".format),
    }
    return table.reset_index(), DataFrame(listed)


def largest(named: Mapping[str, float]) -> str:
    """Write the three largest of some shares, the largest first."""
    found = sorted(named.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{name} {value:.3f}" for name, value in found)


def attention(run: StoredRun, *, draw: bool) -> dict[str, Any]:
    """Return a run's mean scores per task and LoRA, how sparse they are, and drawings by layer.

    Args:
        run: one with attention.
        draw: whether to draw it.
    """
    scores, modules = attention_frames({run.name: run})
    panels, top = heat_panels(scores, list(scores["task"].unique())[: DRAWN if draw else 0])
    return {
        "means": scores.groupby(["task", "lora"], sort=False)["score"].mean().unstack(sort=False),
        "sparse": modules.groupby("task", sort=False)[["sharp", "effective"]].mean(),
        "panels": panels,
        "top": top,
        "left_out": max(0, scores["task"].nunique() - DRAWN) if draw else 0,
    }


def moment(record: Record, after: int, phase: str) -> str:
    """Say when an evaluation took place."""
    if after < 0:
        return "before learning"
    names = ["all tasks"] if joint(record) else [task.name for task in record.tasks]
    name = name_of(after + 1, names, record.boundaries and record.boundaries.course)
    return f"{name} enters" if phase == "entered" else f"after {name}"


def device_text(device: Device) -> str:
    """Say on what a run was made: accelerators, processor, threads, memory, system."""
    cards = Counter(card.name for card in device.accelerators)
    parts = (
        *(f"{number} x {name}" for name, number in cards.items()),
        device.cpu,
        f"{device.threads} threads" if device.threads else "",
        f"{size(device.memory_bytes)} of memory" if device.memory_bytes else "",
        device.platform,
    )
    return ", ".join(str(part) for part in parts if part)


def provenance(run: StoredRun) -> dict[str, str | None]:
    """Return where a run comes from, as names and values."""
    record, measured = run.record, run.measured
    commit, speed, model = measured.git.commit, measured.tokens_per_second, record.model
    return {
        "folder": run.name,
        "method": f"{record.method}, version {record.method_version}",
        "model": f"{model.name} {model.revision or ''}".strip(),
        "model parameters": count(model.parameters) if model.parameters else None,
        "fingerprint of the frozen weights": model.fingerprint,
        "digest of settings": record.settings_digest,
        "digest of the task stream": record.stream_digest,
        "digest of texts and questions of no task": record.general_digest,
        "digest of the rows' decisions": record.rows_digest,
        "code": commit and commit + " with uncommitted changes" * bool(measured.git.dirty),
        "versions": ", ".join(f"{name} {v}" for name, v in sorted(measured.versions.items())),
        "device": device_text(measured.device),
        "time": ", ".join(f"{k} {seconds(v)}" for k, v in sorted(measured.seconds.items())),
        "training speed": f"{count(speed)} tokens per second" if speed else None,
        "peak memory": size(measured.peak_memory_bytes) if measured.peak_memory_bytes else None,
        "finished": measured.finished,
    }
