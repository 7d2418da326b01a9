"""Which of the paper's tasks are at hand, and whether their files are those of the reference.

A copy with fewer rows than the reference benchmark is as good as a whole one, and is only said to
be smaller. More rows, unknown labels, or rows in two splits are problems.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from amlora.errors import InputError, nearest
from amlora.streams.catalogue import Entry, SplitSize, entries, orders
from amlora.streams.check import find_overlap
from amlora.streams.load import of_layout
from amlora.streams.rows import to_examples
from amlora.streams.source import RawTask, read_source
from amlora.streams.task import UNLABELLED, Example, text_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one task."""

    task: str
    place: str
    there: bool
    """Whether there is anything at its place."""
    rows: dict[str, int] = field(default_factory=dict[str, int])
    """How many rows each split has."""
    expected: dict[str, int]
    """How many the reference benchmark has."""
    labels: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """How many of each label each split has; "-" and "" are rows without one."""
    notes: list[str] = field(default_factory=list[str])
    """What is worth knowing, a line each."""
    problems: list[str] = field(default_factory=list[str])
    """What is wrong, a line each."""


def survey(data_root: Path) -> list[Finding]:
    """Look at each of the paper's tasks in a folder in the reference layout."""
    return [look_at(entry, data_root) for entry in entries().values()]


def complete_orders(there: set[str]) -> list[str]:
    """Return the paper's orders all of whose tasks are among those named."""
    return [name for name, tasks in orders().items() if there.issuperset(tasks)]


def look_at(entry: Entry, data_root: Path) -> Finding:
    """Read one task's files, and compare them with the catalogue and with each other."""
    place = data_root / entry.folder
    counts = {"train": entry.rows.train, "test": entry.rows.test}
    expected = {split: count.count for split, count in counts.items()}
    finding = Finding(task=entry.name, place=str(place), there=place.is_dir(), expected=expected)
    if not finding.there:
        return finding
    try:
        if not (place / "labels.json").is_file():
            raise InputError(f"{place}: has no labels.json.")
        raw = read_source(of_layout(entry), str(data_root), entry.name)
        splits = {
            split: to_examples(rows, split, raw.columns, entry.name)[0]
            for split, rows in raw.splits.items()
        }
    except InputError as error:
        finding.problems.append(str(error))
        return finding
    for split, rows in splits.items():
        finding.rows[split] = len(rows)
        finding.labels[split] = dict(sorted(Counter(row.label for row in rows).items()))
    compare_labels(entry, raw, splits, finding)
    for split, count in counts.items():
        if splits.get(split):
            compare_counts(split, finding.labels[split], count, finding)
        else:
            finding.problems.append(f"{place}: no {split} rows.")
    pairs = [("train", "test"), ("train", "dev"), ("test", "dev")]
    dev, test = ({text_key(row.text) for row in splits.get(name, [])} for name in ("dev", "test"))
    if dev and dev == test:
        pairs.pop()
        finding.notes.append(
            "dev rows are the test rows, as in the reference; stream.dev_from = 'train' sets"
            " others aside."
        )
    finding.problems.extend(find_overlap(splits, finding.place, pairs))
    return finding


def compare_labels(
    entry: Entry, raw: RawTask, splits: dict[str, list[Example]], finding: Finding
) -> None:
    """Look for labels that the paper's task does not have, and count rows without one."""
    if set(raw.options) != set(entry.labels):
        listed = ", ".join(raw.options)
        finding.problems.append(
            f"{finding.place}/labels.json: lists {listed}; the task has {', '.join(entry.labels)}."
        )
    for split, rows in splits.items():
        unknown = [row for row in rows if row.label not in (*entry.labels, UNLABELLED, "")]
        if unknown:
            first = unknown[0]
            finding.problems.append(
                f"{first.place}: label {first.label!r} is not known"
                f" ({len(unknown)} of {len(rows)} {split} rows have such a label)"
                f"{nearest(first.label, entry.labels) or '.'}"
            )
        if unlabelled := sum(row.label in (UNLABELLED, "") for row in rows):
            finding.notes.append(f"{unlabelled} of {len(rows)} {split} rows have no label.")


def compare_counts(
    split: str, found: dict[str, int], expected: SplitSize, finding: Finding
) -> None:
    """Compare a split's rows, and those of each label, with the reference's as far as known."""
    total = sum(found.values())
    if total > expected.count:
        finding.problems.append(
            f"{finding.place}: {total} {split} rows; the reference has {expected.count}."
        )
        return
    if total < expected.count:
        finding.notes.append(f"smaller: {total} of {expected.count} {split} rows.")
    for label, count in expected.labels.items():
        rows = found.get(label, 0)
        if rows > count or (total == expected.count and rows < count):
            finding.problems.append(
                f"{finding.place}: {rows} {split} rows labelled {label!r};"
                f" the reference has {count}."
            )
