"""Settings of a stream: which tasks, in which order, how many rows of each, and in which prompt."""

import re
from collections import Counter
from typing import get_args

import msgspec

from amlora.errors import InputError, nearest
from amlora.streams import catalogue
from amlora.streams.check import check_options
from amlora.streams.prompt import Form, Prefix

QUICKSTART = "quickstart"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # a task's name is part of file names


class TaskSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task: where its rows are and how they are put to the model."""

    name: str
    """Short name, unique in the stream: letters, digits and . _ + - (at most 64)."""
    source: str = ""
    """A folder with train, dev and test files (.jsonl, .json, .csv, .parquet), one such file (then
    it is the train split), or a folder in the reference layout (with a labels.json). Relative to
    `data_root` if that is set."""
    hub: str = ""
    """Id of a data set on the Hugging Face hub, or a local folder in a hub repository's layout."""
    hub_config: str = ""
    """The hub data set's configuration, where it has several."""
    revision: str = ""
    """Commit, tag or branch of the hub data set; a commit pins it."""
    train: str = ""
    """File of the train rows (relative to `source`), or the hub's split name."""
    dev: str = ""
    """The same for dev rows. Without any, 10 % of train are set aside, and a warning says so."""
    test: str = ""
    """The same for test rows. Without any, 20 % of train are set aside, and a warning says so."""
    instruction: str = ""
    """One line that stands before the options and the text."""
    options: tuple[str, ...] = ()
    """The allowed answers. Empty: the labels of the train rows, or free text if these are many."""
    text: str = "text"
    """Column of the text (`sentence` in the reference layout)."""
    label: str = "label"
    """Column of the answer. Columns `prompt` and `completion` serve if both defaults are absent."""
    category: str = ""
    """Kind of task for the `Task:` prefix; the reference layout's own folder gives it otherwise."""
    show_options: bool = True
    """Whether the prompt lists the options."""


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream: the built-in `quickstart`, an order of the paper with `data_root`, or own tasks."""

    name: str = ""
    """"quickstart" is the built-in stream; any other name is only a name."""
    data_root: str = ""
    """Folder of the reference layout, or the folder that relative task sources start from."""
    tasks: tuple[TaskSettings, ...] = ()
    """Own tasks, in the order in which they are learned."""
    order: str = ""
    """One of the paper's six orders (its table 4): "1" to "6"."""
    first_tasks: int | None = None
    """Only so many of the tasks, the first ones (None: all)."""
    prefix: Prefix = "off"
    """The reference's `Task:` and `Dataset:` lines. They tell the model which task it is."""
    form: Form = "full"
    """"blind" is the text and the cue only, to see what is left without instruction and options."""
    train_per_task: int | None = None
    """At most so many train rows a task (None: all), drawn after `train_per_class`."""
    train_per_class: int | None = None
    """At most so many train rows of each label; a free-text task counts as one class."""
    dev_per_class: int | None = None
    """At most so many dev rows of each label."""
    dev_per_task: int | None = None
    """At most so many dev rows a task, drawn after `dev_per_class`."""
    test_per_class: int | None = None
    """At most so many test rows of each label."""
    test_per_task: int | None = None
    """At most so many test rows a task, drawn after `test_per_class`."""
    balanced: bool = False
    """Take classes in turn, so that a draw of so many rows a task holds them evenly."""
    sample_seed: int = 0
    """Decides which rows are drawn and set aside. A smaller sample is part of a larger one."""
    drop_unlabelled: bool = True
    """Drop rows labelled "-" (MNLI has some). False keeps them, as the reference does."""

    def __post_init__(self) -> None:
        self._check_choice("prefix", self.prefix, get_args(Prefix))
        self._check_choice("form", self.form, get_args(Form))
        if self.order:
            self._check_choice("order", self.order, catalogue.order_names())
        for field, limit in (
            ("first_tasks", self.first_tasks),
            ("train_per_task", self.train_per_task),
            ("train_per_class", self.train_per_class),
            ("dev_per_class", self.dev_per_class),
            ("dev_per_task", self.dev_per_task),
            ("test_per_class", self.test_per_class),
            ("test_per_task", self.test_per_task),
        ):
            if limit is not None and limit < 1:
                raise InputError(f"stream.{field}: must be at least 1 or left out, got {limit}.")
        given: list[str] = []
        if self.name == QUICKSTART:
            given.append(f"name = {QUICKSTART!r}")
        if self.order:
            given.append("order")
        if self.tasks:
            given.append("tasks")
        if len(given) > 1:
            raise InputError(f"stream: {' and '.join(given)} exclude each other; give one.")
        for index, task in enumerate(self.tasks):
            check_task_settings(task, f"stream.tasks[{index}]")
        for name, count in Counter(task.name.lower() for task in self.tasks).items():
            if count > 1:
                raise InputError(
                    f"stream.tasks: {count} tasks are named {name!r}; names are unique."
                )

    def _check_choice(self, field: str, value: str, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            names = ", ".join(repr(name) for name in allowed)
            raise InputError(
                f"stream.{field}: {value!r} is not one of {names}{nearest(value, allowed) or '.'}"
            )


def check_task_settings(task: TaskSettings, where: str) -> None:
    """Check what can be checked without opening a file.

    Raises:
        InputError: a bad name, options that cannot be told apart, or no or two sources of rows.
    """
    if not NAME.fullmatch(task.name):
        raise InputError(
            f"{where}.name: {task.name!r} is not a task name; use 1 to 64 letters, digits and"
            " . _ + -, a letter or digit first."
        )
    check_options(task.options, f"{where}.options")
    if task.hub and task.source:
        raise InputError(f"{where}: source and hub exclude each other; give one.")
    if not task.hub:
        for field, value in (("hub_config", task.hub_config), ("revision", task.revision)):
            if value:
                raise InputError(f"{where}.{field}: {value!r} has no meaning without hub.")
        if not task.source and not task.train:
            raise InputError(f"{where}: no rows; give source, hub, or at least a train file.")
    for field, value in (("text", task.text), ("label", task.label)):
        if not value:
            raise InputError(f"{where}.{field}: a column's name, got an empty one.")
