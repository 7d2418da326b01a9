"""Rows of data sets on the Hugging Face hub, and of Parquet files, by the `datasets` library.

The library is an extra and slow to import, so it is imported where it is used. Class labels
(numbers that the data set names) become their names; -1 is the hub's mark for "no label".
"""

import glob
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from amlora.errors import InputError, nearest
from amlora.streams.rows import Record
from amlora.streams.sample import lowest

if TYPE_CHECKING:
    from amlora.streams.settings import TaskSettings

# Names that the hub's repositories use for the same split.
SPLIT_NAMES = {
    "train": ("train",),
    "dev": ("validation", "dev", "valid", "val"),
    "test": ("test",),
}
Loaded = TypeVar("Loaded")


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


def read_parquet(path: Path) -> list[Record]:
    """Read a Parquet file.

    Raises:
        InputError: no such file, not Parquet, or `datasets` is not installed.
    """
    library = import_datasets(str(path))
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    # The library takes file names for patterns.
    files = {"train": glob.escape(str(path.absolute()))}
    dataset = attempt(
        library, str(path), lambda: library.load_dataset("parquet", data_files=files, split="train")
    )
    return to_records(dataset, str(path))


def read_hub(task: "TaskSettings", where: str, seed: int) -> dict[str, list[Record]]:
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
    config, revision = task.hub_config or None, task.revision or None
    names: list[str] = attempt(
        library,
        f"{where}.hub",
        lambda: library.get_dataset_split_names(task.hub, config, revision=revision),
    )
    splits: dict[str, list[Record]] = {}
    asked = {
        "train": (task.train, task.most_train),
        "dev": (task.dev, task.most_dev),
        "test": (task.test, task.most_test),
    }
    for split, (name, most) in asked.items():
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
        dataset = attempt(
            library,
            f"{where}.{split}",
            lambda chosen=chosen: library.load_dataset(
                task.hub, config, split=chosen, revision=revision
            ),
        )
        place = f"{task.hub} {chosen}"
        if most is None or most >= len(dataset):
            splits[split] = to_records(dataset, place)
        else:
            numbers = lowest(len(dataset), most, seed=seed, task=task.name, split=split)
            splits[split] = to_records(dataset.select(numbers), place, numbers)
    return splits


def attempt(library: ModuleType, where: str, load: Callable[[], Loaded]) -> Loaded:
    """Call the library, and make its errors about the data one line of ours."""
    errors = (OSError, ValueError, library.exceptions.DatasetsError)
    try:
        return load()
    except errors as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{where}: {lines[0].rstrip('.')}.") from error


def to_records(dataset: Any, place: str, numbers: Sequence[int] | None = None) -> list[Record]:
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
    records: list[Record] = []
    for index, values in enumerate(cast("list[dict[str, Any]]", dataset)):
        for column, labels in names.items():
            number = values[column]
            values[column] = None if number is None or number < 0 else labels[number]
        number = index if numbers is None else numbers[index]
        records.append(Record(f"{place}: row {number}", values, number))
    return records
