"""Rows of data sets on the Hugging Face hub, and of Parquet files, by the `datasets` library.

The library is an extra and slow to import, so it is imported where it is used. Class labels
(numbers that the data set names) become their names; -1 is the hub's mark for "no label".
"""

import glob
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from amlora.errors import InputError, nearest
from amlora.streams.rows import Record

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


def read_hub(task: "TaskSettings", where: str) -> dict[str, list[Record]]:
    """Read the splits of a hub data set, or of a local folder in a hub repository's layout.

    Args:
        task: gives id, configuration, revision and, where they are not the usual ones, split names.
        where: dotted path of the task's settings.

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
    asked = {"train": task.train, "dev": task.dev, "test": task.test}
    for split, name in asked.items():
        chosen = name or next((usual for usual in SPLIT_NAMES[split] if usual in names), "")
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
        splits[split] = to_records(dataset, f"{task.hub} {chosen}")
    return splits


def attempt(library: ModuleType, where: str, load: Callable[[], Loaded]) -> Loaded:
    """Call the library, and make its errors about the data one line of ours."""
    errors = (OSError, ValueError, library.exceptions.DatasetsError)
    try:
        return load()
    except errors as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{where}: {lines[0].rstrip('.')}.") from error


def to_records(dataset: Any, place: str) -> list[Record]:
    """Return a data set's rows, class labels by name."""
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
        records.append(Record(f"{place}: row {index}", values))
    return records
