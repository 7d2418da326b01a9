"""Print a table of what `statistic.py` measured as Markdown, for the documentation.

    python benchmarks/statistic_tables.py benchmarks/results/statistic-smollm2-135m.json features

Shares are of test rows, in per cent. A table's lines are told apart by its first columns.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora import files

Entry = Mapping[str, Any]
Lines = list[list[str]]
"""The head and the lines below it, cell by cell."""

FORMS = ("full", "blind")
ALL = "15 tasks"


def main() -> None:
    """Read results and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("name", choices=sorted(TABLES))
    chosen = parser.parse_args()
    print(table(files.read_json(chosen.results), chosen.name))


def table(record: Entry, name: str) -> str:
    """Return one of `TABLES` as Markdown."""
    scored = {"scored": record["scored"]}
    entries = {
        kind: [{**entry, **scored} for entry in record[kind]]
        for kind in ("shares", "foreign", "blurred")
    }
    head, *lines = TABLES[name]({**record, **entries})
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def features(record: Entry) -> Lines:
    """Return which vector and which covariance, for all streams and both prompts."""
    found = [entry for entry in own(record) if entry["rows"] == most_rows(record)]
    streams = unique(entry["stream"] for entry in found)
    columns = [(stream, form) for form in FORMS for stream in streams]
    head = ["vector", "covariance", *(f"{stream}, {form}" for stream, form in columns)]
    return [
        [*head, "bytes per task", "bytes once"],
        *(
            [
                *kind,
                *(percent(one(of_kind, stream=s, prompt=form)) for s, form in columns),
                f"{of_kind[0]['bytes_per_task']:,}",
                f"{of_kind[0]['bytes_once']:,}",
            ]
            for kind, of_kind in by(found, vector, covariance)
        ),
    ]


def rows(record: Entry) -> Lines:
    """Return the shares among all tasks by training rows per task."""
    found = [entry for entry in own(record) if entry["stream"] == ALL]
    counts = unique(entry["rows"] for entry in found)
    return [
        ["prompt", "vector", "covariance", *(f"{count} rows" for count in counts)],
        *(
            [*kind, *(percent(one(of_kind, rows=count)) for count in counts)]
            for kind, of_kind in by(found, prompt, vector, covariance)
        ),
    ]


def shrinkage(record: Entry) -> Lines:
    """Return the shares among all tasks by the sphere's share in the covariance."""
    found = [
        entry
        for entry in short(record)
        if entry["stream"] == ALL and entry["rows"] == most_rows(record)
    ]
    given = sorted({entry["shrinkage"] for entry in found} - {None})
    return [
        ["prompt", "vector", "covariance", "estimated", *(f"{value:g}" for value in given)],
        *(
            [
                *kind,
                f"{percent(one(of_kind, shrinkage=None))} at {estimated(of_kind):.3f}",
                *(percent(one(of_kind, shrinkage=value)) for value in given),
            ]
            for kind, of_kind in by(found, prompt, vector, covariance)
        ),
    ]


def tasks(record: Entry) -> Lines:
    """Return each task's share among all, full covariance."""
    found = [
        entry
        for entry in own(record)
        if entry["stream"] == ALL
        and entry["rows"] == most_rows(record)
        and entry["covariance"] == "full"
    ]
    columns = [(form, layers) for form in FORMS for layers in unique(e["layers"] for e in found)]
    chosen = [one(found, prompt=form, layers=layers) for form, layers in columns]
    return [
        ["task", *(f"{entry['prompt']}, {vector(entry)}" for entry in chosen)],
        *([name, *(percent(entry, name) for entry in chosen)] for name in chosen[0]["right"]),
        ["all", *map(percent, chosen)],
    ]


def length(record: Entry) -> Lines:
    """Return the shares by the longest prompt that is read, mean embedding and full covariance."""
    found = [
        entry
        for entry in record["shares"]
        if entry["layers"] == 0
        and entry["covariance"] == "full"
        and entry["shrinkage"] is None
        and entry["rows"] == most_rows(record)
    ]
    limits = sorted({entry["max_tokens"] for entry in found})
    return [
        ["stream", *(f"{form}, {limit} tokens" for form in FORMS for limit in limits)],
        *(
            [
                stream,
                *(percent(one(of, prompt=f, max_tokens=n)) for f in FORMS for n in limits),
            ]
            for (stream,), of in by(found, lambda entry: entry["stream"])
        ),
    ]


def foreign(record: Entry) -> Lines:
    """Return how many go to no stage: of learned tasks, of one left out, of texts of no task."""
    return [
        [
            "prompt",
            "vector",
            "reject",
            "training rows",
            "learned tasks",
            "most",
            "tasks left out",
            "of which never",
            "texts of no task",
        ],
        *(
            [
                entry["prompt"],
                vector(entry),
                f"{entry['reject']:g}",
                str(entry["rows"]),
                share(entry["own"], entry["scored"]),
                largest(entry["own"], entry["scored"]),
                share(entry["left_out"], entry["scored"]),
                f"{list(entry['left_out'].values()).count(0)} of {len(entry['left_out'])}",
                strangers(entry),
            ]
            for entry in in_order(record["foreign"])
        ),
    ]


def strangers(entry: Entry) -> str:
    """Return the share of texts of no task that went to no stage, in per cent."""
    return f"{100 * entry['strangers'] / entry['strangers_scored']:.1f}"


def left_out(record: Entry) -> Lines:
    """Return for each task how many of its rows go to no stage while it is left out."""
    most, rate = most_rows(record), record["foreign"][0]["reject"]
    entries = [
        entry
        for entry in in_order(record["foreign"])
        if (entry["rows"], entry["reject"]) == (most, rate)
    ]
    head = [f"{entry['prompt']}, {vector(entry)}" for entry in entries]
    return [
        ["task left out", *head],
        *(
            [name, *(share(e["left_out"], e["scored"], name) for e in entries)]
            for name in entries[0]["left_out"]
        ),
    ]


def blurred(record: Entry) -> Lines:
    """Return where rows went, own ones and those of no task, by how blurred borders were."""
    entries = in_order(record["blurred"])
    blurs = sorted({entry["blur"] for entry in entries})
    shares = [f"{100 * blur:g} %" for blur in blurs]
    return [
        [
            *("prompt", "vector"),
            *(f"{share} of the next task: own stage" for share in shares),
            *(f"{share}: texts of no task rejected" for share in shares),
        ],
        *(
            [
                *kind,
                *(percent(one(of_kind, blur=blur)) for blur in blurs),
                *(strangers(one(of_kind, blur=blur)) for blur in blurs),
            ]
            for kind, of_kind in by(entries, prompt, vector)
        ),
    ]


def returning(record: Entry) -> Lines:
    """Return where the rows of a task that came again went."""
    kinds = ("first", "again", "elsewhere")
    return [
        ["prompt", "vector", "to the first stage", "to the later one", "elsewhere"],
        *(
            [
                entry["prompt"],
                vector(entry),
                *(f"{100 * entry[k] / sum(entry[each] for each in kinds):.1f}" for k in kinds),
            ]
            for entry in in_order(record["returning"])
        ),
    ]


def cost(record: Entry) -> Lines:
    """Return what a prompt's vector takes."""
    return [
        ["prompt", "at most", "deepest vector", "tokens per prompt", "processor ms per prompt"],
        *(
            [
                entry["prompt"],
                f"{entry['max_tokens']} tokens",
                vector(entry),
                f"{entry['tokens'] / entry['prompts']:.0f}",
                f"{1000 * entry['processor_seconds'] / entry['prompts']:.1f}",
            ]
            for entry in record["cost"]
        ),
    ]


TABLES: Mapping[str, Callable[[Entry], Lines]] = {
    "features": features,
    "rows": rows,
    "shrinkage": shrinkage,
    "tasks": tasks,
    "length": length,
    "foreign": foreign,
    "left-out": left_out,
    "blurred": blurred,
    "returning": returning,
    "cost": cost,
}


def short(record: Entry) -> list[Entry]:
    """Return the shares with prompts of the lesser length, in order."""
    limit = min(entry["max_tokens"] for entry in record["shares"])
    return in_order(entry for entry in record["shares"] if entry["max_tokens"] == limit)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sort entries by prompt and vector."""
    return sorted(entries, key=lambda entry: (FORMS.index(entry["prompt"]), entry["layers"]))


def own(record: Entry) -> list[Entry]:
    """Return those with an estimated shrinkage."""
    return [entry for entry in short(record) if entry["shrinkage"] is None]


def most_rows(record: Entry) -> int:
    """Return the most training rows that any share was measured with."""
    return max(entry["rows"] for entry in record["shares"])


def one(entries: Iterable[Entry], **wanted: Any) -> Entry:
    """Return the only entry with some values."""
    (entry,) = (e for e in entries if all(e[name] == value for name, value in wanted.items()))
    return entry


def by(
    entries: Iterable[Entry], *keys: Callable[[Entry], str]
) -> list[tuple[tuple[str, ...], list[Entry]]]:
    """Group entries by some cells, in the order of their first."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(key(entry) for key in keys), []).append(entry)
    return list(groups.items())


def prompt(entry: Entry) -> str:
    """Name the prompt."""
    return entry["prompt"]


def vector(entry: Entry) -> str:
    """Name the vector."""
    layers = entry["layers"]
    return "embeddings" if not layers else "1 layer" if layers == 1 else f"{layers} layers"


def covariance(entry: Entry) -> str:
    """Name the covariance."""
    return entry["covariance"]


def estimated(entries: Iterable[Entry]) -> float:
    """Return the sphere's share where it was estimated."""
    return one(entries, shrinkage=None)["sphere"]


def percent(entry: Entry, task: str | None = None) -> str:
    """Return the share of rows that went to their own stage, of one task or all."""
    return share(entry["right"], entry["scored"], task)


def share(counts: Mapping[str, int], scored: Mapping[str, int], task: str | None = None) -> str:
    """Return counted rows as a share of scored ones, of one task or all."""
    names = counts if task is None else (task,)
    return f"{100 * sum(counts[name] for name in names) / sum(scored[name] for name in names):.1f}"


def largest(counts: Mapping[str, int], scored: Mapping[str, int]) -> str:
    """Return the largest share of a task, and the task."""
    name = max(counts, key=lambda task: counts[task] / scored[task])
    return f"{share(counts, scored, name)} ({name})" if counts[name] else "0.0"


def unique(values: Iterable[Any]) -> Sequence[Any]:
    """Return values once each, in the order of their first."""
    return list(dict.fromkeys(values))


if __name__ == "__main__":
    main()
