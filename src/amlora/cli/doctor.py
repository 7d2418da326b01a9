"""`amlora doctor`: is everything here that a run needs? Fetches nothing."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from amlora.cli.doctor_data import examine_data, print_data
from amlora.cli.output import Json, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.format import size

EXTRAS = {
    "gguf": "quickstart: the built-in model",
    "peft": "peft: import and export of single LoRAs",
    "datasets": "data: data sets on the hub",
}
MODEL = "smollm2-135m"
HUB_SECONDS = 5.0  # how long the hub may take to answer


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

    problems: list[str] = []
    found, device = versions(), device_facts()
    cache = cache_folder()
    existing = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    problems += broken_devices(len(device["accelerators"]))
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
        return (
            f"not in the hub's cache, and the hub does not answer ({type(error).__name__})",
            False,
        )
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
