"""What the page shows of one run that its record does not say by itself."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pandas import DataFrame

from amlora.records.beside import Device
from amlora.records.frames import frame
from amlora.records.run import StoredRun
from amlora.report.figures import heat_panels
from amlora.report.format import percent, seconds, size
from amlora.report.matrix import course_of
from amlora.report.studies import attention_frames

NONE = "none"  # the base model, where a route ends at no stage
SHOWN = 20  # rows that are listed one by one
DRAWN = 6  # tasks whose attention is drawn


def last_rows(run: StoredRun) -> DataFrame:
    """Return the rows of a run's last evaluation; `hit_then`: right after the own stage."""
    names = [task.name for task in run.record.tasks]
    course = course_of(run.record)
    own = dict(zip(names, course.learned if course else [0] * len(names), strict=True))
    rows = frame([run], "rows")
    rows = rows[rows["phase"] == "learned"]
    keys = ["task", "row"]
    then = rows[rows["stage"] == rows["task"].map(own) - 1].set_index(keys)[["hit"]]
    last = rows[rows["stage"] == rows["stage"].max()]
    return last.join(then.set_axis(["hit_then"], axis=1), on=keys)


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


def device_text(device: Device) -> str:
    """Say on what a run was made: accelerators, processor, threads, memory, system."""
    cards = Counter(card.name for card in device.accelerators)
    parts = (
        *(f"{number} x {name}" for name, number in cards.items()),
        device.cpu,
        f"threads: {device.threads}" if device.threads else "",
        f"{size(device.memory_bytes)} of memory" if device.memory_bytes else "",
        device.platform,
    )
    return ", ".join(str(part) for part in parts if part)


def named(values: Mapping[str, Any], *, times: bool = False) -> str:
    """Write names and values, which may be seconds, in one line, by name."""
    shown = ((name, seconds(value) if times else value) for name, value in sorted(values.items()))
    return ", ".join(f"{name} {value}" for name, value in shown)
