"""What a figure is made of: the runs of one stream of tasks and one base model, as frames."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pandas import DataFrame, concat

from amlora.records.frames import frame
from amlora.records.run import StoredRun
from amlora.records.schema import Record
from amlora.report.compare import comparable, told
from amlora.report.matrix import course_of

EQUAL = 1e-9  # scores that differ by less are the same number, rounded
KNOWN = ("sharp", "effective", "picked")  # of a module and task
WHERE = ["run", "task", "module", "projection", "layer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Runs that can be compared, line by line and seed by seed."""

    runs: DataFrame
    """Of `report.compare.comparable`."""
    stored: Mapping[str, StoredRun]
    """By `run`."""
    scores: DataFrame
    """`run`, `stage` (-1 before learning), `task`, `score`, without the moments of an entry."""
    attention: DataFrame
    """`lora` and `score` by run, task, projection and layer, of runs with attention alone."""
    modules: DataFrame
    """`sharp`, `effective` and `picked` of the same runs; see `records.schema.Attention`."""

    @property
    def first(self) -> Record:
        """The record of the first run; tasks and base model are the same in all."""
        return self.runs["record"].iloc[0]

    @property
    def model(self) -> str:
        """The base model's name."""
        return self.first.model.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks in their order."""
        return tuple(task.name for task in self.first.tasks)

    @property
    def fixed(self) -> str:
        """The labels of lines that measured their LoRAs' scores and have no attention."""
        measured = self.runs["run"].map(lambda run: self.stored[run].attention is not None)
        left = measured & ~self.runs["run"].isin(self.attention["run"])
        return ", ".join(self.runs.loc[left, "label"].unique())

    def about(self, which: str) -> str:
        """Say what is shown: base model, tasks, and which lines and seeds of them."""
        return f"{self.model}: {', '.join(self.tasks)} ({which})."

    def named(self, values: DataFrame) -> DataFrame:
        """Return values with their base model and tasks, so that frames of streams can be one."""
        named = {"model": self.model, "tasks": [self.tasks] * len(values)}
        return concat([DataFrame(named, index=values.index), values], axis=1)


def studies(
    stored: Sequence[StoredRun],
    labels: Mapping[str, str] | None = None,
    runs: DataFrame | None = None,
) -> list[Study]:
    """Put runs together as the comparison of methods does; see `report.compare.comparable`.

    Args:
        stored: finished ones.
        labels: of lines, by run; None: named by method or run.
        runs: of `report.compare.told`, of these in their order, with more columns; None: as it is.
    """
    frame_ = told(stored) if runs is None else runs
    by_run = dict(zip(frame_["run"], stored, strict=True))
    scores = concat([frame([run], "scores").assign(run=key) for key, run in by_run.items()])
    scores = scores[scores["phase"] != "entered"]
    attention, modules = attention_frames({k: run for k, run in by_run.items() if attentive(run)})
    made: list[Study] = []
    for group in comparable(frame_, labels):
        inside = {run: by_run[run] for run in group["run"]}
        made.append(
            Study(
                runs=group,
                stored=inside,
                scores=scores[scores["run"].isin(inside)],
                attention=attention[attention["run"].isin(inside)],
                modules=modules[modules["run"].isin(inside)],
            )
        )
    return made


def chosen(runs: DataFrame, word: str) -> DataFrame:
    """Return the runs that a word asks for: those of this label; else of this name, or method.

    Runs without a stage for each task are left out: they have no stages to compare.
    """
    records = runs["record"].tolist()
    runs = runs[[r.boundaries is None and course_of(r) is not None for r in records]]
    ways = [runs[runs[way] == word] for way in ("label", "name", "method")]
    return next((found for found in ways if len(found)), ways[-1])


def attentive(run: StoredRun) -> bool:
    """Tell whether a run's LoRAs are weighed by scores that say something.

    Those of a plain sum or a mean are equal; those of stages that a router adds up are equal in all
    modules, and tell no more than where prompts were sent.
    """
    import numpy as np

    found = run.attention
    if found is None or not found.modules or len(found.loras) < 2:
        return False
    scores = np.array(found.mean)[..., 1:]  # (tasks, modules, LoRAs); the zero LoRA is no choice
    by_module = np.ptp(scores, axis=1).max() > EQUAL
    by_lora = run.record.routing is None and np.ptp(scores, axis=2).max() > EQUAL
    return bool(by_module or by_lora)


def attention_frames(runs: Mapping[str, StoredRun]) -> tuple[DataFrame, DataFrame]:
    """Return the scores of runs by LoRA, and what is known by module; layers in their order."""
    scores = [DataFrame(columns=[*WHERE, "lora", "score"])]
    modules = [DataFrame(columns=[*WHERE, *KNOWN])]
    for run, stored in runs.items():
        found = stored.attention
        assert found is not None
        places = projections(found.modules)
        for at, task in enumerate(found.tasks):
            table = places.assign(run=run, task=task)
            each = found.top90[at], found.effective[at], found.picked[at]
            modules.append(table.join(DataFrame(dict(zip(KNOWN, each, strict=True)))))
            mean = DataFrame(found.mean[at], columns=[*found.loras]).stack()
            mean = mean.rename_axis(["at", "lora"]).reset_index("lora", name="score")
            scores.append(table.join(mean))
    return (
        concat(scores, ignore_index=True).astype({"score": float}),
        concat(modules, ignore_index=True).astype(dict.fromkeys(KNOWN, float)),
    )


def projections(modules: Sequence[str]) -> DataFrame:
    """Tell module names apart: `projection` and `layer`, by kind and layer; the index is theirs.

    Kinds differ in more than their layer, the first number in the name; a projection's name keeps
    what tells kinds apart: "q_proj", or "decoder EncDecAttention q".
    """
    rows: list[tuple[str, str, int]] = []
    for module in modules:
        found = re.search(r"\.(\d+)\.", module)
        kind = module if found is None else f"{module[: found.start()]}.*.{module[found.end() :]}"
        rows.append((module, kind, 0 if found is None else int(found[1])))
    table = DataFrame(rows, columns=["module", "kind", "layer"])
    parts = {
        kind: [part for part in kind.split(".") if not re.fullmatch(r"\*|\d+", part)]
        for kind in table["kind"].unique()
    }
    common = set.intersection(*map(set, parts.values())) if parts else set[str]()
    titles = {
        kind: " ".join(part for part in found if part not in common) or found[-1]
        for kind, found in parts.items()
    }
    if len(set(titles.values())) < len(titles):
        titles = {kind: kind for kind in titles}
    place = table["kind"].factorize()[0]
    ordered = table.assign(projection=table["kind"].map(titles), place=place)
    return ordered.sort_values(["place", "layer"], kind="stable")[["module", "projection", "layer"]]
