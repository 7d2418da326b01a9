"""`amlora doctor`: is everything here that a run needs, or with `--data` the paper's tasks?

Fetches nothing.
"""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from amlora.cli.output import Json, columns, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.format import MISSING, size

EXTRAS = {
    "gguf": "quickstart: the built-in model",
    "peft": "peft: import and export of single LoRAs",
    "datasets": "data: data sets on the hub",
}
MODEL = "smollm2-135m"
HUB_SECONDS = 5.0  # how long the hub may take to answer
SPLITS = ("train", "dev", "test")


def doctor(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help=f"Check this base model: built in, a folder, or a hub id ({MODEL} if absent).",
        ),
    ] = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Check the paper's tasks instead: counts, labels, overlap."),
    ] = False,
    data_root: Annotated[
        Path | None,
        typer.Option("--data-root", help="With --data: the folder of the reference layout."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check versions, device, memory, cache and model; exit status 1 if something is wrong."""
    if data and model is not None:
        raise InputError("--data and --model exclude each other.")
    if data_root is not None and not data:
        raise InputError("--data-root: give --data as well.")
    facts = examine_data(data_root) if data else examine(model or MODEL)
    if as_json:
        print_json(facts)
    elif data:
        print_data(facts)
    else:
        print_facts(facts)
    if facts["problems"]:
        raise typer.Exit(1)


def examine(model: str) -> dict[str, Any]:
    """Return all facts, with the list of what is wrong under "problems"."""
    from amlora.cache import cache_folder
    from amlora.experiment.provenance import device_facts, versions

    found, device, cache = versions(), device_facts(), cache_folder()
    existing = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    problems = broken_devices(len(device["accelerators"]))
    state, reachable = model_state(model)
    if not reachable:
        problems.append(f"model {model}: {state}")
    return {
        "versions": found,
        "absent": {name: what for name, what in EXTRAS.items() if name not in found},
        "device": device,
        "cache": {
            "folder": str(cache),
            "bytes": sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()),
            "free_bytes": shutil.disk_usage(existing).free,
        },
        "model": {"name": model, "state": state, "reachable": reachable},
        "problems": problems,
    }


def broken_devices(cards: int) -> list[str]:
    """Multiply a small matrix on every device; return what fails."""
    import torch

    problems = []
    for device in ("cpu", *(f"cuda:{index}" for index in range(cards))):
        ones = torch.ones(8, 8)
        try:
            total = (ones.to(device) @ ones.to(device)).sum().item()
        except RuntimeError as error:
            problems.append(f"{device}: {str(error).partition(chr(10))[0]}")
            continue
        if total != 512:
            problems.append(f"{device}: a matrix product came out wrong")
    return problems


def model_state(name: str) -> tuple[str, bool]:
    """Say where a model is, and whether it can be had."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    from amlora.cache import cache_folder
    from amlora.engine.builtin import BUILT_IN

    if name in BUILT_IN:
        if any((cache_folder() / "models").glob(f"{name}-*")):
            return "built in, in the cache", True
        return "built in, not in the cache yet: the first run fetches it", True
    path = Path(name).expanduser()
    if path.is_dir() or path.suffix == ".gguf":
        whole = path.is_file() or (path / "config.json").is_file() or any(path.glob("*.gguf"))
        return ("a folder or file", True) if whole else ("no model there", False)
    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return "on the hub, in its cache", True
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except (HFValidationError, RepositoryNotFoundError):
        return "neither built in, nor a folder, nor on the hub", False
    except OSError as error:
        kind = type(error).__name__
        return f"not in the hub's cache, and the hub does not answer ({kind})", False
    return "on the hub, not in its cache yet", True


def print_facts(facts: dict[str, Any]) -> None:
    """Print the facts for a person."""
    device, cache = facts["device"], facts["cache"]
    say("versions")
    print_pairs(list(facts["versions"].items()), indent=2)
    for name, what in facts["absent"].items():
        say(f"  {name} is not installed ({what})")
    say("\ndevice")
    pairs: list[tuple[str, object]] = [
        ("platform", device["platform"]),
        ("processor", f"{device['cpu']}, {device['threads']} of {device['cpus']} threads"),
        ("memory", size(device["memory_bytes"])),
    ]
    pairs += [(card["name"], size(card["memory_bytes"])) for card in device["accelerators"]]
    print_pairs(pairs, indent=2)
    say("\nfiles")
    kept = f"{cache['folder']}: {size(cache['bytes'])} used, {size(cache['free_bytes'])} free"
    print_pairs(
        [("cache", kept), ("model", f"{facts['model']['name']}: {facts['model']['state']}")], 2
    )
    for problem in facts["problems"]:
        say(one_line(f"problem: {problem}"))
    if not facts["problems"]:
        say("\nEverything that a run needs is here.")


def examine_data(data_root: Path | None) -> dict[str, Any]:
    """Return what was found of each task, with the list of what is wrong under "problems".

    Args:
        data_root: a folder in the reference layout; None: the hub's cache, which is not opened.
    """
    from amlora.streams.survey import complete_orders

    if data_root is None:
        tasks, problems = in_cache()
    else:
        tasks, problems = in_folder(data_root)
    there = {fact["task"] for fact in tasks if fact["there"] and not fact["problems"]}
    where = None if data_root is None else str(data_root)
    facts = {"data_root": where, "tasks": tasks, "problems": problems}
    return {**facts, "orders": complete_orders(there)}


def in_folder(data_root: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the tasks of a folder in the reference layout; return them and what is wrong."""
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
    return [asdict(finding) for finding in found], problems


def in_cache() -> tuple[list[dict[str, Any]], list[str]]:
    """Say which data sets are in the hub's cache, and what is wrong; their rows are not read."""
    from importlib.util import find_spec

    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    from amlora.streams.catalogue import entries

    tasks: list[dict[str, Any]] = []
    for entry in entries().values():
        name = repo_folder_name(repo_id=entry.hub.id, repo_type="dataset")
        kept = Path(constants.HF_HUB_CACHE) / name / "snapshots"
        wanted = kept / entry.hub.revision if entry.hub.revision else kept
        # A repository's configurations are folders, and a run fetches only the one it reads.
        pattern = f"{entry.hub.config}/*" if entry.hub.config else "*"
        there = wanted.is_dir() and any(path.is_file() for path in wanted.rglob(pattern))
        tasks.append({"task": entry.name, "place": entry.hub.id, "there": there, "problems": []})
    absent = "the library datasets is not installed: pip install 'amlora[data]'."
    return tasks, [] if find_spec("datasets") else [absent]


def print_data(facts: dict[str, Any]) -> None:
    """Print the facts for a person."""
    tasks = facts["tasks"]
    there = sum(fact["there"] for fact in tasks)
    if facts["data_root"] is None:
        states = ("not in the cache", "in the cache")
        rows = [(fact["task"], fact["place"], states[fact["there"]]) for fact in tasks]
        say(columns([("TASK", "HUB", "STATE"), *rows]))
    else:
        say(columns([("TASK", "TRAIN", "DEV", "TEST", "STATE"), *map(folder_row, tasks)]))
        for fact in tasks:
            for note in fact["notes"]:
                if not note.startswith("smaller"):  # the table says so
                    say(f"{fact['task']}: {note}")
    for problem in facts["problems"]:
        say(one_line(f"problem: {problem}"))
    where = facts["data_root"] or "the hub's cache"
    say(f"\n{there} of {len(tasks)} tasks are in {where}.")
    say(f"orders whose tasks are all there: {', '.join(facts['orders']) or 'none'}")
    if facts["data_root"] is None:
        say("A run fetches what is not there. --data-root DIR looks at files instead.")


def folder_row(fact: dict[str, Any]) -> tuple[str, ...]:
    """Return a task's line where tasks are read from a folder."""
    rows, expected = fact["rows"], fact["expected"]
    smaller = any(rows.get(split, 0) < count for split, count in expected.items())
    state = "smaller" if smaller else "whole"
    state = "wrong" if fact["problems"] else state if fact["there"] else "not there"
    counts: list[str] = []
    for split in SPLITS:
        found = rows.get(split)
        more = "" if found in (None, expected.get(split, found)) else f" of {expected[split]}"
        counts.append(f"{MISSING if found is None else found}{more}")
    return (fact["task"], *counts, state)
