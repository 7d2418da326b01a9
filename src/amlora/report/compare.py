"""Which runs stand together, and the means and intervals over the seeds of a line.

Lines of equal streams (tasks, rows, order) and equal base models can be compared, and no others;
see `records.alike`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame, Series, concat, isna

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.statistics import Interval, mean_sd, paired_bootstrap, seed_interval
from amlora.printable import printable
from amlora.records.alike import across_orders
from amlora.records.beside import Choice
from amlora.records.frames import frame
from amlora.records.run import StoredRun
from amlora.report.matrix import course_of

BOOTSTRAP_SEED = 0
NOT_RECORDED = "not recorded"
OVER = {
    "seeds": "[a, b]: 95 % interval over seeds (Student's t).",
    "rows": "(a, b): a single run; 95 % interval over its test rows (bootstrap), not over seeds.",
}
MISSING = "\N{EN DASH}: undefined there (joint learning has no order), or not measured."


def told(runs: Sequence[StoredRun]) -> DataFrame:
    """Return stored runs as `records.frames` does, with what comparisons need of their records.

    `run` is the whole path, since two stores may have folders of one name. `rate` is missing where
    the record does not hold it.
    """
    records = [run.record for run in runs]
    rates = [setting(record.settings, "train.lr") for record in records]
    return frame(runs).assign(
        run=[printable(str(run.path)) for run in runs],
        record=records,
        method_version=[str(record.method_version) for record in records],
        tasks=[tuple(task.name for task in record.tasks) for record in records],
        rate=[float(rate) if isinstance(rate, int | float) else None for rate in rates],
        # False only where every stage says so.
        kept_examples=[
            not record.stages or any(stage.stored_examples != 0 for stage in record.stages)
            for record in records
        ],
    )


def last_decisions(runs: Sequence[StoredRun]) -> DataFrame:
    """Return the rows of each run's last evaluation: run, task, row, hit.

    Raises:
        InputError: they are altered, not what a run writes, or a row is there twice.
    """
    found: dict[tuple[str, str, str], bool] = {}
    for run in runs:
        path = printable(str(run.path))
        learned = [row for row in run.rows if row.phase == "learned"]
        last = max((row.after for row in learned), default=0)
        for row in learned:
            if row.after == last:
                if (path, row.task, row.row) in found:
                    raise InputError(f"{path}: row {row.row!r} of {row.task} is there twice.")
                found[path, row.task, row.row] = row.hit
    columns = ["run", "task", "row", "hit"]
    return DataFrame([(*key, hit) for key, hit in found.items()], columns=columns)


def setting(settings: Mapping[str, Any], key: str) -> Any:
    """Return a recorded setting by its dotted key."""
    section, _, name = key.partition(".")
    table = settings.get(section)
    return table.get(name, NOT_RECORDED) if isinstance(table, Mapping) else NOT_RECORDED


def comparable(runs: DataFrame, labels: Mapping[str, str] | None = None) -> list[DataFrame]:
    """Split runs by stream and base model, and name their lines.

    Args:
        runs: of `told`, scored on test rows.
        labels: by run, in the order of the lines; None: lines are named by method, or, where that
            does not tell them apart, by run name, and sorted.

    Returns:
        The runs of each stream and base model with a column `label`, by line and seed, in an order
        that does not depend on that of the runs.

    Raises:
        InputError: a seed of a line is there twice.
    """
    found: list[DataFrame] = []
    for _, group in runs.groupby(["stream", "fingerprint"], dropna=False):
        label = group["line"].map(names(group)) if labels is None else group["run"].map(labels)
        ranks = {name: at for at, name in enumerate(dict.fromkeys((labels or {}).values()))}
        place = label if labels is None else label.map(ranks)
        group = group.assign(label=label, place=place).sort_values(["place", "line", "seed", "run"])
        group = group.drop(columns="place").reset_index(drop=True)
        if (twice := group.duplicated(["line", "seed"])).any():
            at = int(twice.argmax())
            raise InputError(
                f"{group['run'][at]}: the same run as {group['run'][at - 1]};"
                " give one of the two folders."
            )
        found.append(group)
    return found


def names(group: DataFrame) -> dict[str, str]:
    """Return a distinct name for each line: method, run name, both, or with a hash of its settings.

    A method of which lines have several versions is named with its version.
    """
    lines = group.drop_duplicates("line").set_index("line")
    version = lines["method_version"]
    several = version.groupby(lines["method"]).transform("nunique") > 1
    suffix = (", version " + version).where(several, "")
    both = lines["name"] + ", " + lines["method"]
    for way in (lines["method"], lines["name"], both):
        if (named := way + suffix).is_unique:
            return named.to_dict()
    return (both + suffix + " " + lines.index.str[:8]).to_dict()


def lines_of(group: DataFrame) -> list[DataFrame]:
    """Return the runs of each line, in their order."""
    return [line for _, line in group.groupby("line", sort=False)]


def lines_across(runs: DataFrame) -> list[DataFrame]:
    """Put runs of the paper's orders into lines across the orders, by order and seed.

    From order to order the data, a method's settings per task and the learning rate may differ,
    since all three belong to the order. Runs are told apart by their names, and then by their
    rates, only where they do not fit together otherwise.

    Raises:
        InputError: two runs of one order that nothing of this tells apart.
    """

    def split(part: DataFrame, keys: Sequence[str]) -> list[DataFrame]:
        part = part.sort_values(["order", "seed", "run"])
        pair = clash(part)
        if pair is None:
            return [part]
        if not keys:
            raise InputError(
                f"{pair[0]} and {pair[1]}: two runs of one cell of the table (one method, order and"
                " name) that differ by more than their seed; give one of them."
            )
        parts = part.groupby(keys[0], dropna=False)
        return [line for _, each in parts for line in split(each, keys[1:])]

    across = [files.digest(across_orders(record)) for record in runs["record"]]
    alike = runs.groupby([runs["method"], runs["method_version"], Series(across, runs.index)])
    return [line for _, part in alike for line in split(part, ("name", "rate"))]


def clash(line: DataFrame) -> tuple[str, str] | None:
    """Return two runs of one order that cannot share a cell: equal seeds, other rates or rows."""
    for _, runs in line.groupby("order"):
        same = runs[["stream", "rate"]].fillna("").eq(runs[["stream", "rate"]].fillna("").iloc[0])
        odd = (runs.duplicated("seed") | ~same.all(axis=1)).to_numpy()
        if odd.any():
            return tuple(runs["run"].iloc[odd.argmax() - 1 : odd.argmax() + 1])
    return None


def pooled(groups: Sequence[DataFrame]) -> list[DataFrame]:
    """Put lines of the same label and method in several orders of the same tasks together.

    Rows of a task are the same in every order, so what can be compared in each order can be
    compared over all; for what one order is too small to tell. A run's partner is still the one of
    the same order and seed.

    Args:
        groups: of `comparable`.
    """
    alike: dict[object, list[DataFrame]] = {}
    for group in groups:
        tasks = frozenset((task.name, task.digest) for task in group["record"][0].tasks)
        alike.setdefault((group["fingerprint"][0], tasks), []).append(group)
    made: list[DataFrame] = []
    for found in alike.values():
        if len({group["tasks"][0] for group in found}) == len(found) > 1:
            runs = concat(found, ignore_index=True)
            line = runs.groupby(["label", "method"], sort=False).ngroup()
            made.append(
                runs.assign(line=line).sort_values("line", kind="stable", ignore_index=True)
            )
    return made


def spread_of(runs: DataFrame, names: Sequence[str]) -> dict[str, float | None]:
    """Return mean and standard deviation (`_sd`) over seeds; None where a run lacks the value."""
    found: dict[str, float | None] = {}
    for name in names:
        missing = runs.empty or runs[name].isna().any()
        mean, sd = (None, None) if missing else mean_sd(runs[name].tolist())
        found |= {name: mean, f"{name}_sd": sd}
    return found


def interval_of(runs: DataFrame, name: str, unit: float = 1.0) -> dict[str, Any]:
    """Return the 95 % interval of a metric's mean over the runs of a line, one for each seed.

    It is over "seeds"; for a single run over its test "rows", but for forgetting, which compares
    scores of equal rows at several moments. `unit` is 1 for fractions, 100 for per cent.

    Returns:
        `_low`, `_high` and what it is over, `_interval`: None, None and "" where there is none.
    """
    values = (100 * runs[name].astype(float)).tolist()
    ends, over = None, ""
    if not values or any(map(isna, values)):
        pass
    elif len(values) > 1:
        ends, over = seed_interval(values).interval, "seeds"
    elif name != "forgetting":
        record = runs["record"].iloc[0]
        course = course_of(record)  # tasks are not stages where borders were found
        learned = [record.R[stage][at] for at, stage in enumerate(course.learned)] if course else []
        scores = record.R[-1] if name == "average" else learned
        ends = row_interval(scores, [task.scored for task in record.tasks])
        over = "rows" if ends else ""
    low, high = (end / (100 / unit) for end in ends) if ends else (None, None)
    return {f"{name}_low": low, f"{name}_high": high, f"{name}_interval": over}


def row_interval(scores: Sequence[float | None], sizes: Sequence[int]) -> Interval | None:
    """Return the bootstrap interval of a run's average over its test rows, per cent.

    A score is a share of hits, so it and the number of rows say how many there are; the bootstrap
    needs no more of them.

    Args:
        scores: of each task, fractions.
        sizes: of each task, in rows.
    """
    known = [(score, n) for score, n in zip(scores, sizes, strict=True) if score is not None]
    if len(known) < len(sizes):
        return None
    hits = [[100.0] * round(score * n) + [0.0] * (n - round(score * n)) for score, n in known]
    return paired_bootstrap(hits, [[0.0] * n for n in sizes], seed=BOOTSTRAP_SEED).interval


def unequal_seeds(seeds: Mapping[str, Sequence[int]]) -> list[str]:
    """Say which line has which seeds where they differ."""
    if len(set(map(tuple, seeds.values()))) < 2:
        return []
    each = "; ".join(f"{label} {list(found)}" for label, found in seeds.items())
    return [f"Not all lines have the same seeds: {each}."]


def seeds_text(seeds: Sequence[int]) -> str:
    """Return "seed 0" or "seeds 0, 1, 2"."""
    told = sorted(set(seeds))
    return f"seed{'s' * (len(told) > 1)} {', '.join(map(str, told))}"


def subject(runs: DataFrame) -> dict[str, Any]:
    """Return what all runs of a table have in common, for CSV and JSON."""
    run = runs.iloc[0]
    return {name: run[name] for name in ("model", "tasks", "stream")}


def with_facts(runs: DataFrame, facts: Mapping[str, Mapping[str, bool]]) -> DataFrame:
    """Add what methods need, by their names; a method that is not there leaves it open."""
    told = {
        name: [facts.get(method, {}).get(name) for method in runs["method"]]
        for name in ("needs_task_id", "stores_examples")
    }
    return runs.assign(**told)


def with_choices(runs: DataFrame, choices: Sequence[Choice]) -> DataFrame:
    """Add `candidates`, the rates that each run's was chosen from; () where it was given."""
    known = {
        (choice.label, choice.method, choice.rate, choice.task_digest, choice.model): tuple(
            candidate.rate for candidate in choice.candidates
        )
        for choice in choices
    }
    first = [record.tasks[0].digest for record in runs["record"]]
    keys = zip(runs["name"], runs["method"], runs["rate"], first, runs["fingerprint"], strict=True)
    return runs.assign(candidates=[known.get(key, ()) for key in keys])
