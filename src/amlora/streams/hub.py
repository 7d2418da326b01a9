"""Rows of data sets on the Hugging Face hub, by the `datasets` library.

The library is an extra and slow to import, so it is imported where it is used. Class labels
(numbers that the data set names) become their names; -1 is the hub's mark for "no label".
"""

import importlib
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from amlora import files
from amlora.errors import InputError, nearest
from amlora.streams.read import by_name
from amlora.streams.rows import RawRow
from amlora.streams.sample import lowest
from amlora.streams.settings import TaskSettings

SPLIT_NAMES = {
    "train": ("train",),
    "dev": ("validation", "dev", "valid", "val"),
    "test": ("test",),
}
"""Names that repositories, and files, use for the same split."""


def read_hub(task: TaskSettings, where: str, seed: int) -> dict[str, list[RawRow]]:
    """Read the splits of a hub data set, or of a local folder in a hub repository's layout.

    The task gives id, configuration, revision, how many rows of each split at most (which ones, the
    seed decides), and split names where they are not the usual ones.

    Returns:
        "train", and "dev" and "test" where the data set has them.

    Raises:
        InputError: no such data set, configuration, revision or split; no connection, or library.
    """
    try:
        library = importlib.import_module("datasets")
    except ImportError:
        why = "needs the library datasets: pip install 'amlora[data]'."
        raise InputError(f"{where}.hub: {why}") from None
    # The library knows what it prepared of the hub by its commit, but of local files by their time,
    # which a copy or an archive may keep. So these are prepared anew.
    local = Path(task.hub).is_dir()
    folder = files.temporary_folder(Path(tempfile.gettempdir())) if local else nullcontext()
    with folder as fresh:
        return read_splits(library, task, where, seed, None if fresh is None else str(fresh))


def read_splits(
    library: ModuleType, task: TaskSettings, where: str, seed: int, cache: str | None
) -> dict[str, list[RawRow]]:
    """Do what `read_hub` does, with a cache of its own for what the library prepares, or None."""
    config = task.hub_config or None
    given: dict[str, Any] = {"revision": task.revision or None, "cache_dir": cache}
    with in_one_line(f"{where}.hub"):
        names: list[str] = library.get_dataset_split_names(
            task.hub, config, revision=given["revision"]
        )
        given = given | as_text(library, task.hub, config, names, given)
    splits: dict[str, list[RawRow]] = {}
    for split, name, most in (
        ("train", task.train, task.most_train),
        ("dev", task.dev, task.most_dev),
        ("test", task.test, task.most_test),
    ):
        # A split that is named for test rows is not taken for dev rows as well.
        free = [usual for usual in names if usual not in (task.train, task.dev, task.test)]
        chosen = name or next((usual for usual in SPLIT_NAMES[split] if usual in free), "")
        if not chosen and split != "train":
            continue
        if chosen.partition("[")[0] not in names:  # "train[:10%]" is a slice of a split
            raise InputError(
                f"{where}.{split}: {task.hub} has no split {chosen or split!r}; it has"
                f" {', '.join(names)}{nearest(chosen or split, names) or '.'}"
            )
        with in_one_line(f"{where}.{split}"):
            dataset = library.load_dataset(task.hub, config, split=chosen, **given)
        place, numbers = f"{task.hub} {chosen}", None
        if most is not None and most < len(dataset):
            numbers = lowest(len(dataset), most, seed=seed, task=task.name, split=split)
            dataset = dataset.select(numbers)
        splits[split] = to_rows(dataset, place, numbers)
    return splits


def as_text(
    library: ModuleType, hub: str, config: str | None, names: list[str], given: dict[str, Any]
) -> dict[str, Any]:
    """Return what has the library read the cells of CSV as they are written.

    By itself it takes "None", "NA" and "" for nothing and makes one number of 01 and 1. Where a
    data set states the types of its columns, these hold.
    """
    builder = library.load_dataset_builder(hub, config, **given)
    if type(builder.config).__name__ != "CsvConfig" or builder.info.features is not None:
        return {}
    # Types are given by column, so the names of the columns are looked up first.
    first = library.load_dataset(hub, config, split=names[0], nrows=1, **given)
    text = library.Features({name: library.Value("string") for name in first.column_names})
    return {"features": text, "keep_default_na": False}


@contextmanager
def in_one_line(where: str) -> Generator[None]:
    """Make the library's complaint, whatever its kind, one line of ours."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{where}: {reason(error)}.") from error


def reason(error: Exception) -> str:
    """Return why the library could not read a data set, in one line without a full stop."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = said[0].rstrip(".") if said else type(error).__name__
    if first.startswith("Config name is missing"):  # the second line lists them
        return (
            f"it has several configurations; name one by hub_config: {said[1].partition(': ')[2]}"
        )
    if first.startswith("Dataset scripts"):
        return f"{first}; the hub keeps many of these as files: revision = 'refs/convert/parquet'"
    if first.endswith("corresponds to no data!"):
        return "no rows"
    if "split names could not be parsed" in first:
        return f"{first}; is one of its files empty?"
    cause = str(error.__cause__ or "").strip().splitlines()
    return f"{first}: {cause[0].rstrip('.')}" if cause else first


def to_rows(dataset: Any, place: str, numbers: Sequence[int] | None = None) -> list[RawRow]:
    """Return a data set's rows, class labels by name; `numbers` are theirs in the whole split."""
    names: dict[str, list[str]] = {
        column: feature.names
        for column, feature in cast("dict[str, Any]", dataset.features).items()
        if type(feature).__name__ == "ClassLabel"
    }
    return [
        RawRow(f"{place}: row {number}", by_name(values, names), number)
        for number, values in zip(numbers or range(len(dataset)), dataset, strict=True)
    ]
