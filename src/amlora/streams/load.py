"""Load a stream: read each task's rows, check them, set aside what is missing, draw samples."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from amlora.errors import InputError
from amlora.streams import catalogue
from amlora.streams.catalogue import Entry
from amlora.streams.check import (
    check_labels,
    check_options,
    drop_unlabelled,
    find_contradictions,
    find_overlap,
    find_sameness,
)
from amlora.streams.quickstart import quickstart_tasks
from amlora.streams.rows import compose, to_answers, to_examples
from amlora.streams.sample import draw, rank, set_aside
from amlora.streams.settings import QUICKSTART, StreamSettings, TaskSettings
from amlora.streams.source import RawTask, read_source
from amlora.streams.task import UNLABELLED, Example, Task, TaskStream

MOST_OPTIONS = 50  # more distinct answers than this are free text
DEV_SHARE = 0.1  # of the train rows, where there are no dev rows
TEST_SHARE = 0.2  # of the train rows, where there are no test rows
Planned = TypeVar("Planned")


def load_stream(settings: StreamSettings) -> tuple[TaskStream, list[str]]:
    """Load the tasks that the settings name.

    Returns:
        The stream, and warnings for a person to read: rows dropped, splits that share texts, parts
        set aside.

    Raises:
        InputError: anything wrong with the settings or the data, with its place.
    """
    if settings.name == QUICKSTART:
        tasks = ordered({task.name: task for task in quickstart_tasks()}, settings)
        warnings: list[str] = []
    else:
        planned = {task.name: (task, where) for where, task in planned_tasks(settings)}
        loaded = [load_task(task, settings, where) for task, where in ordered(planned, settings)]
        tasks = [task for task, _ in loaded]
        warnings = [warning for _, found in loaded for warning in found]
    name = settings.name or (f"order-{settings.order}" if settings.order else "own")
    if settings.shuffle_seed is not None:
        name += f", shuffled by {settings.shuffle_seed}"
    return TaskStream(name=name, tasks=tuple(draw_task(task, settings) for task in tasks)), warnings


def ordered(tasks: Mapping[str, Planned], settings: StreamSettings) -> list[Planned]:
    """Return the tasks (by name) in the order that `shuffle_seed` draws, the first ones alone.

    The order depends on the seed and the tasks' names alone, so a task more or less leaves the
    others as they are to each other. An InputError if there are fewer than `first_tasks`.
    """
    names, seed, wanted = list(tasks), settings.shuffle_seed, settings.first_tasks
    if seed is not None:
        names.sort(key=lambda name: rank(seed, name, "place in the stream"))
    if wanted is not None and wanted > len(names):
        raise InputError(f"stream.first_tasks: {wanted}, but there are {len(names)} tasks.")
    return [tasks[name] for name in names[:wanted]]


def planned_tasks(settings: StreamSettings) -> list[tuple[str, TaskSettings]]:
    """Return each task's settings with their place, for errors."""
    if settings.order:
        make = of_layout if settings.data_root else of_hub
        return [
            (f"stream.order {settings.order!r}, {name}", make(catalogue.entries()[name]))
            for name in catalogue.tasks_of(settings.order)
        ]
    if not settings.tasks:
        raise InputError("stream: no tasks; give name = 'quickstart', an order, or tasks.")
    return [(f"stream.tasks[{index}]", task) for index, task in enumerate(settings.tasks)]


def of_layout(entry: Entry) -> TaskSettings:
    """Return the settings of one of the paper's tasks, in the reference layout."""
    return TaskSettings(
        name=entry.name,
        source=entry.folder,
        instruction=entry.instruction,
        options=entry.labels,
        category=entry.category,
        show_options=entry.show_options,
    )


def of_hub(entry: Entry) -> TaskSettings:
    """Return the settings of one of the paper's tasks, on the hub.

    As many rows are read as the reference benchmark has, and train rows on top for the dev rows
    that are set aside.
    """
    hub = entry.hub
    return of_layout(entry).replace(
        source="",
        hub=hub.id,
        hub_config=hub.config,
        revision=hub.revision,
        train=hub.train,
        test=hub.test,
        label=hub.label,
        forms=hub.forms,
        answers=hub.answers,
        most_train=math.ceil(entry.rows.train.count / (1 - DEV_SHARE)),
        most_test=entry.rows.test.count,
        dataset=entry.folder.rpartition("/")[2],
    )


def load_task(
    task: TaskSettings, stream: StreamSettings, where: str = "task"
) -> tuple[Task, list[str]]:
    """Load and check one task, all its rows; `draw_task` then draws the samples.

    The stream gives data_root, prefix, sample_seed, dev_from and drop_unlabelled; errors say where.
    """
    given, warnings = load_given(task, stream, where)
    splits = {"train": [*given.train], "dev": [*given.dev], "test": [*given.test]}
    for split, share in (("test", TEST_SHARE), ("dev", DEV_SHARE)):
        if not splits[split]:
            splits["train"], splits[split] = set_aside(
                splits["train"],
                share,
                seed=stream.sample_seed,
                task=task.name,
                by_label=bool(given.options),
                split=split,
            )
            why = "taken" if split == "dev" and stream.dev_from == "train" else "given"
            warnings.append(
                f"{task.name}: no {split} rows {why}; {len(splits[split])} of the train rows were"
                f" set aside for {split} (sample_seed {stream.sample_seed})."
            )
    warnings += find_sameness(splits["train"], task.name)
    warnings += find_contradictions(splits, task.name) + find_overlap(splits, task.name)
    return replace(given, **{split: tuple(rows) for split, rows in splits.items()}), warnings


def load_given(
    task: TaskSettings, stream: StreamSettings, where: str = "task", *, free: bool = False
) -> tuple[Task, list[str]]:
    """Do what `load_task` does with the splits as they are given; one that is not given is empty.

    With `free` labels are free text where the task names no options. The warnings are of rows
    without a label, and of answers that are free text.
    """
    source = read_source(task, stream.data_root, where, seed=stream.sample_seed)
    if stream.dev_from == "train":
        source.splits.pop("dev", None)
    splits, text_column, warnings = read_splits(task, source, stream, where)
    category = task.category or source.category
    if stream.prefix != "off" and not category:
        raise InputError(
            f"{where}.category: empty, but stream.prefix = {stream.prefix!r} puts it into prompts."
        )
    options, origin, free_text = (), "", list[str]()
    if task.options or not free:
        options, origin, free_text = choose_options(task, source, splits["train"], where)
    for rows in splits.values():
        check_labels(rows, options, origin)
    given = Task(
        name=task.name,
        instruction=task.instruction,
        options=options,
        train=tuple(splits["train"]),
        dev=tuple(splits.get("dev", ())),
        test=tuple(splits.get("test", ())),
        category=category,
        dataset=task.dataset or source.dataset,
        show_options=task.show_options,
        text_column=text_column,
        forms=task.forms,
        source=source.title,
    )
    return given, warnings + free_text


def read_splits(
    task: TaskSettings, source: RawTask, stream: StreamSettings, where: str
) -> tuple[dict[str, list[Example]], str, list[str]]:
    """Return the rows of each split, the column of train texts, and warnings.

    Rows without a label are dropped and counted.
    """
    columns: dict[str, str] = {}
    splits: dict[str, list[Example]] = {}
    warnings: list[str] = []
    for split, records in source.splits.items():
        if task.forms:
            records = compose(records, task.forms, f"{where}.forms")
        known = task.answers or task.options or source.options
        rows, (columns[split], _) = to_examples(records, split, source.columns, where, known)
        if task.answers:
            rows = to_answers(rows, task.answers, f"{where}.answers")
        splits[split], dropped = drop_unlabelled(
            rows, keep_marked=not stream.drop_unlabelled, where=source.origins[split]
        )
        if dropped:
            warnings.append(f"{task.name}: {dropped} {split} rows without a label were dropped.")
    return splits, columns["train"], warnings


def choose_options(
    task: TaskSettings, source: RawTask, train: list[Example], where: str
) -> tuple[tuple[str, ...], str, list[str]]:
    """Return the task's options, where they come from, and a warning if it is free text.

    The settings' own options go first, then the source's list, then the labels of the train rows,
    sorted. These are free text if they are more than MOST_OPTIONS, or so many that most answers
    occur once only.
    """
    if task.options:
        return task.options, f"{where}.options", []
    if source.options:
        origin = f"{source.title}/labels.json"
        check_options(source.options, origin)
        return source.options, origin, []
    labels = sorted({row.label for row in train} - {UNLABELLED})
    origin = source.origins["train"]
    if len(labels) > MOST_OPTIONS or 2 * len(labels) > len(train):
        many = f"{len(labels)} different answers in {len(train)} train rows"
        return (), origin, [f"{task.name}: no options given and {many}, so answers are free text."]
    check_options(labels, f"{origin}: labels")
    return tuple(labels), origin, []


def draw_task(task: Task, settings: StreamSettings) -> Task:
    """Draw the rows that the settings ask for, each split in its seeded order."""
    limits = dict(settings)
    drawn = {
        split: draw(
            rows,
            seed=settings.sample_seed,
            task=task.name,
            by_label=bool(task.options),
            per_class=limits[f"{split}_per_class"],
            per_task=limits[f"{split}_per_task"],
            balanced=settings.balanced,
        )
        for split, rows in (("train", task.train), ("dev", task.dev), ("test", task.test))
    }
    return replace(task, **{split: tuple(rows) for split, rows in drawn.items()})
