"""`amlora doctor --data`: which of the paper's tasks are at hand, and what is wrong with them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from amlora.cli.output import columns
from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.format import MISSING

HEADER = ("TASK", "TRAIN", "DEV", "TEST", "STATE")
SPLITS = ("train", "dev", "test")


def examine_data(data_root: Path | None) -> dict[str, Any]:
    """Return what was found of each task, with the list of what is wrong under "problems".

    Args:
        data_root: a folder in the reference layout; None: the hub's cache, which is not opened.

    Raises:
        InputError: no such folder.
    """
    facts = in_cache() if data_root is None else in_folder(data_root)
    from amlora.streams.survey import complete_orders

    there = {fact["task"] for fact in facts["tasks"] if fact["there"] and not fact["problems"]}
    return {**facts, "orders": complete_orders(there)}


def in_folder(data_root: Path) -> dict[str, Any]:
    """Read the tasks of a folder in the reference layout."""
    from amlora.streams.survey import survey

    if not data_root.is_dir():
        raise InputError(f"{data_root}: no such folder.")
    found = survey(data_root)
    problems = [problem for finding in found for problem in finding.problems]
    if not any(finding.there for finding in found):
        problems.append(
            f"{data_root}: none of the {len(found)} tasks is there; the reference layout is"
            " Category/Name, as in TC/dbpedia/train.json."
        )
    tasks = [asdict(finding) for finding in found]
    return {"data_root": str(data_root), "tasks": tasks, "problems": problems}


def in_cache() -> dict[str, Any]:
    """Say which data sets are in the hub's cache; their rows are not read."""
    from importlib.util import find_spec

    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    from amlora.streams.catalogue import entries

    problems: list[str] = []
    if find_spec("datasets") is None:
        problems.append("the library datasets is not installed: pip install 'amlora[data]'.")
    tasks: list[dict[str, Any]] = []
    for entry in entries().values():
        name = repo_folder_name(repo_id=entry.hub.id, repo_type="dataset")
        kept = Path(constants.HF_HUB_CACHE) / name / "snapshots"
        wanted = kept / entry.hub.revision if entry.hub.revision else kept
        # A repository's configurations are folders, and a run fetches only the one it reads.
        pattern = f"{entry.hub.config}/*" if entry.hub.config else "*"
        there = wanted.is_dir() and any(path.is_file() for path in wanted.rglob(pattern))
        tasks.append({"task": entry.name, "place": entry.hub.id, "there": there, "problems": []})
    return {"data_root": None, "tasks": tasks, "problems": problems}


def print_data(facts: dict[str, Any]) -> None:
    """Print the facts for a person."""
    if facts["data_root"] is None:
        say(columns([("TASK", "HUB", "STATE"), *map(hub_row, facts["tasks"])]))
    else:
        say(columns([HEADER, *map(folder_row, facts["tasks"])]))
        for fact in facts["tasks"]:
            for note in fact["notes"]:
                if not note.startswith("smaller"):  # the table says so
                    say(f"{fact['task']}: {note}")
    for problem in facts["problems"]:
        say(one_line(f"problem: {problem}"))
    there = sum(fact["there"] for fact in facts["tasks"])
    where = facts["data_root"] or "the hub's cache"
    say(f"\n{there} of {len(facts['tasks'])} tasks are in {where}.")
    say(f"orders whose tasks are all there: {', '.join(facts['orders']) or 'none'}")
    if facts["data_root"] is None:
        say("A run fetches what is not there. --data-root DIR looks at files instead.")


def hub_row(fact: dict[str, Any]) -> tuple[str, str, str]:
    """Return a task's line where tasks are read from the hub."""
    return fact["task"], fact["place"], "in the cache" if fact["there"] else "not in the cache"


def folder_row(fact: dict[str, Any]) -> tuple[str, ...]:
    """Return a task's line where tasks are read from a folder."""
    rows, expected = fact["rows"], fact["expected"]
    smaller = any(rows.get(split, 0) < count for split, count in expected.items())
    state = "smaller" if smaller else "whole"
    if not fact["there"]:
        state = "not there"
    if fact["problems"]:
        state = "wrong"
    counts = [str(rows.get(split, MISSING)) for split in SPLITS]
    for at, split in enumerate(SPLITS):
        if split in rows and rows[split] != expected.get(split, rows[split]):
            counts[at] += f" of {expected[split]}"
    return (fact["task"], *counts, state)
