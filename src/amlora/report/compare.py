"""Which runs stand together, and the interval of a line's average.

A line is one method with one set of settings, over the seeds of its runs. Lines of equal streams
(tasks, rows, order) and equal base models can be compared, and no others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame, Series, concat, isna

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.statistics import Interval, paired_bootstrap, seed_interval
from amlora.printable import printable
from amlora.records.alike import across_orders
from amlora.records.beside import Choice
from amlora.records.frames import frame
from amlora.records.run import StoredRun

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
        parameters=[record.model.parameters for record in records],
        tasks=[tuple(task.name for task in record.tasks) for record in records],
        task_digests=[tuple(task.digest for task in record.tasks) for record in records],
        scored=[tuple(task.scored for task in record.tasks) for record in records],
        last=[record.R[-1] for record in records],
        rate=[float(rate) if isinstance(rate, int | float) else None for rate in rates],
        # False only where every stage says so.
        kept_examples=[
            not record.stages or any(stage.stored_examples != 0 for stage in record.stages)
            for record in records
        ],
        across=[files.digest(across_orders(record)) for record in records],
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
        if labels is None:
            group = group.assign(label=group["line"].map(names(group)))
            place = group["label"]
        else:
            group = group.assign(label=group["run"].map(labels))
            ranks = {label: at for at, label in enumerate(dict.fromkeys(labels.values()))}
            place = group["label"].map(ranks)
        group = group.assign(place=place).sort_values(["place", "line", "seed", "run"])
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

    alike = runs.groupby(["method", "method_version", "across"])
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
        run = group.iloc[0]
        tasks = frozenset(zip(run["tasks"], run["task_digests"], strict=True))
        alike.setdefault((run["fingerprint"], tasks), []).append(group)
    made: list[DataFrame] = []
    for found in alike.values():
        orders = {group["tasks"].iloc[0] for group in found}
        if len(orders) == len(found) > 1:
            runs = concat(found, ignore_index=True)
            lines = [f"{label}\n{method}" for label, method in runs[["label", "method"]].to_numpy()]
            ranks = {line: at for at, line in enumerate(dict.fromkeys(lines))}
            by_line = Series([ranks[line] for line in lines]).sort_values(kind="stable").index
            made.append(runs.assign(line=lines).loc[by_line].reset_index(drop=True))
    return made


def average_interval(runs: DataFrame) -> tuple[Interval | None, str]:
    """Return the 95 % interval of the mean of some runs' averages, and what it is over.

    Args:
        runs: of one line, one for each seed.

    Returns:
        The interval in per cent, over "seeds", or over the test "rows" of a single run; None, over
        "", where an average is undefined.
    """
    values = 100 * runs["average"]
    if values.isna().any():
        return None, ""
    if len(values) > 1:
        return seed_interval(values.tolist()).interval, "seeds"
    interval = row_interval(runs.iloc[0]["last"], runs.iloc[0]["scored"])
    return interval, "rows" if interval else ""


def row_interval(scores: Sequence[float | None], sizes: Sequence[int]) -> Interval | None:
    """Return the bootstrap interval of a run's average over its test rows, per cent.

    A score is a share of hits, so it and the number of rows say how many there are; the bootstrap
    needs no more of them.

    Args:
        scores: of each task after the last stage.
        sizes: of each task, in rows.
    """
    if any(isna(score) for score in scores):
        return None
    right = [round(score * n) for score, n in zip(scores, sizes, strict=True)]  # pyright: ignore
    hits = [[100.0] * k + [0.0] * (n - k) for k, n in zip(right, sizes, strict=True)]
    return paired_bootstrap(hits, [[0.0] * n for n in sizes], seed=BOOTSTRAP_SEED).interval


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
    first = [digests[0] for digests in runs["task_digests"]]
    keys = zip(runs["name"], runs["method"], runs["rate"], first, runs["fingerprint"], strict=True)
    return runs.assign(candidates=[known.get(key, ()) for key in keys])
