"""A run's name follows from its settings alone; what else decides its result may not change.

A name needs no model and no data, so it can be said before a run, and in documentation. Data,
weights, tokens, the method's version, and what "auto" and defaults became, are compared where a run
goes on or is found to be finished.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amlora.errors import InputError
from amlora.experiment.settings import RunSettings
from amlora.experiment.toml import paths
from amlora.files import digest
from amlora.records.schema import Identity
from amlora.settings import shown

Facts = dict[str, Any]
"""What decides a run's result, by words for it."""


def run_name(settings: RunSettings) -> str:
    """Return <name>-<method>-<hash8>-<seed>, the hash over the settings that are no defaults.

    They count as they are written ("auto" stays that), and of a path its last name alone.
    """
    plain = settings.model_dump(mode="json", exclude_defaults=True, exclude={"name", "seed"})
    hash8 = digest(without_folders(plain))[:8]
    return f"{settings.name}-{settings.method.name}-{hash8}-{settings.seed}"


def without_folders(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings of whose paths the last name is left: where files lie says nothing."""
    found = copy.deepcopy(dict(settings))
    for table, name in paths(found):
        table[name] = Path(table[name]).name
    return found


def facts_of(record: Identity) -> Facts:
    """Return what decides a run's result; a record is an `Identity` too."""
    found = record.boundaries
    return {
        **{f"setting {path}": value for path, value in flat(without_folders(record.settings))},
        "the method's version": record.method_version,
        **{f"the data of task {task.name!r}": task.digest for task in record.tasks},
        "the model's weights": record.model.fingerprint,
        "how texts become tokens": record.tokens_digest,
        "the file of evaluate.general": record.general_digest,
        "the stream": record.stream_digest,
        "the borders that are found": found and digest(found.model_dump(mode="json")),
    }


def flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Give every setting with its dotted path."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{above}{name}.")
        else:
            yield above + name, inner


def check_same(folder: Path, before: Facts, now: Facts) -> None:
    """Refuse to go on with a run, or to take it for finished, when something else decides it now.

    Raises:
        InputError: names the first thing that is another, and says how to start anew.
    """
    for what in [*now, *(set(before) - set(now))]:
        old, new = before.get(what), now.get(what)
        if old != new:
            how = f"is {shown(new)}, was {shown(old)}" if what.startswith("setting") else "changed"
            if "version" in what:
                how = f"is {new}, was {old}"
            raise InputError(
                f"{folder}: {what} {how} since this run began; --force starts it anew, and another"
                " name keeps both."
            )
