"""Rows of data sets on the Hugging Face hub, by the `datasets` library.

The library is an extra and slow to import, so it is imported where it is used. Class labels
(numbers that the data set names) become their names; -1 is the hub's mark for "no label".
"""

import importlib
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from amlora import files
from amlora.errors import InputError, nearest
from amlora.streams.read import by_name
from amlora.streams.rows import RawRow
from amlora.streams.sample import lowest

if TYPE_CHECKING:
    from amlora.streams.settings import TaskSettings

# Names that the hub's repositories use for the same split.
SPLIT_NAMES = {
    "train": ("train",),
    "dev": ("validation", "dev", "valid", "val"),
    "test": ("test",),
}


def import_datasets(where: str) -> ModuleType:
    """Import `datasets`.

    Raises:
        InputError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"{where}: needs the library datasets: pip install 'amlora[data]'."
        ) from None


def read_hub(task: "TaskSettings", where: str, seed: int) -> dict[str, list[RawRow]]:
    """Read the splits of a hub data set, or of a local folder in a hub repository's layout.

    Args:
        task: gives id, configuration, revision, how many rows of each split at most, and split
            names where they are not the usual ones.
        where: dotted path of the task's settings.
        seed: decides which rows are read where the task limits them.

    Returns:
        "train", and "dev" and "test" where the data set has them.

    Raises:
        InputError: no such data set, configuration, revision or split; or no connection.
    """
    library = import_datasets(f"{where}.hub")
    with ExitStack() as stack:
        given: dict[str, Any] = {"revision": task.revision or None, "cache_dir": None}
        if Path(task.hub).is_dir():
            # The library knows what it prepared of the hub by its commit, but of local files by
            # their time, which a copy or an archive may keep. So these are prepared anew.
            fresh = stack.enter_context(files.temporary_folder(Path(tempfile.gettempdir())))
            given["cache_dir"] = str(fresh)
        return read_splits(library, task, where, seed, given)


def read_splits(
    library: ModuleType, task: "TaskSettings", where: str, seed: int, given: dict[str, Any]
) -> dict[str, list[RawRow]]:
    """Read the splits with what the library is given for each of its calls."""
    config = task.hub_config or None
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
    """Return a data set's rows, class labels by name.

    Args:
        dataset: the rows.
        place: the data set and its split, for errors.
        numbers: the place of each row in the split, where these are only some of its rows.
    """
    names: dict[str, list[str]] = {
        column: feature.names
        for column, feature in cast("dict[str, Any]", dataset.features).items()
        if type(feature).__name__ == "ClassLabel"
    }
    return [
        RawRow(f"{place}: row {number}", by_name(values, names), number)
        for number, values in zip(numbers or range(len(dataset)), dataset, strict=True)
    ]
