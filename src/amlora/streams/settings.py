"""Settings of a stream: which tasks, in which order, how many rows of each, and in which prompt."""

import re
from collections import Counter
from typing import Literal, get_args

import msgspec

from amlora.errors import InputError, nearest
from amlora.streams import catalogue
from amlora.streams.check import check_options
from amlora.streams.compose import TEXT, parts
from amlora.streams.detection import DetectionSettings
from amlora.streams.prompt import Form, Prefix
from amlora.streams.task import answer_key

DevFrom = Literal["dev", "train"]
Boundaries = Literal["told", "found"]
QUICKSTART = "quickstart"
MOST_BORDER = 0.5
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # a task's name is part of file names
NO_TASK = "none"  # what the base model alone is called beside tasks (`mixture.route.NONE`)


class TaskSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task: where its rows are and how they are put to the model."""

    name: str
    """Short name, unique in the stream: letters, digits and . _ + - (at most 64), not "none"."""
    source: str = ""
    """A folder with train, dev and test files (.jsonl, .json, .csv, .tsv, .parquet), one such file
    (then it is the train split), or a folder in the reference layout (with a labels.json). Relative
    to `data_root` if that is set, else to the settings file."""
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
    forms: tuple[str, ...] = ()
    """The text put together from columns, as in "Title: {title}\\nText: {body}"; takes the place of
    `text`. Of several, the first whose columns all hold text is used for a row, else the last."""
    answers: dict[str, str] = {}
    """The answer for each label, as in {0 = "no", 1 = "yes"}; empty: labels are the answers. What
    has an answer is a label, also "-" and "", which mean that a row has none otherwise."""
    most_train: int | None = None
    """Read at most so many of the hub's train rows (None: all), drawn by `sample_seed`."""
    most_dev: int | None = None
    """The same for dev rows."""
    most_test: int | None = None
    """The same for test rows."""
    category: str = ""
    """Kind of task for the `Task:` prefix; the reference layout's own folder gives it otherwise."""
    dataset: str = ""
    """What the `Dataset:` prefix names; the reference layout's folder or the name otherwise."""
    show_options: bool = True
    """Whether the prompt lists the options."""


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream: the built-in `quickstart`, an order of the paper, or own tasks."""

    name: str = ""
    """"quickstart" is the built-in stream; any other name is only a name."""
    data_root: str = ""
    """Folder of the reference layout, or the folder that relative task sources start from; relative
    to the settings file. It may begin with an environment variable, "$NAME". An order without it is
    read from the hub."""
    tasks: tuple[TaskSettings, ...] = ()
    """Own tasks, in the order in which they are learned."""
    order: str = ""
    """One of the paper's six orders (its table 4), "1" to "6", or its tasks by name, as in
    "amazon, yelp"."""
    first_tasks: int | None = None
    """Only so many of the tasks, the first ones (None: all)."""
    shuffle_seed: int | None = None
    """Learn the tasks in an order drawn by this seed (None: as given); `first_tasks` cuts that.
    Settings with one number per task follow it as well."""
    border: float = 0.0
    """The share of a task's train rows, 0 to 0.5, that the stage before learns instead; the stage
    after gets as many (`amlora.streams.border`). 0: a sharp border."""
    boundaries: Boundaries = "told"
    """"told": a stage is a task. "found": all train rows arrive as one sequence, and a new stage
    begins where their prompts look like nothing seen (`amlora.streams.arrival`)."""
    detection: DetectionSettings = DetectionSettings()
    """When prompts do; only with `boundaries = "found"`."""
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
    dev_from: DevFrom = "dev"
    """"train": dev rows are set aside from the train rows, also where the source has a dev split.
    The reference's is its test split, so that what is chosen on it is chosen on test rows."""
    balanced: bool = False
    """Take classes in turn, so that a draw of so many rows a task holds them evenly."""
    sample_seed: int = 0
    """Decides which rows are drawn and set aside. A smaller sample is part of a larger one."""
    drop_unlabelled: bool = True
    """Drop rows labelled "-" (MNLI has some). False keeps them, as the reference does."""

    def __post_init__(self) -> None:
        self._check_choice("prefix", self.prefix, get_args(Prefix))
        self._check_choice("form", self.form, get_args(Form))
        self._check_choice("dev_from", self.dev_from, get_args(DevFrom))
        self._check_choice("boundaries", self.boundaries, get_args(Boundaries))
        if self.boundaries == "told" and self.detection != DetectionSettings():
            raise InputError('stream.detection has no effect while boundaries is "told".')
        if not 0 <= self.border <= MOST_BORDER:
            raise InputError(f"stream.border: must be 0 to {MOST_BORDER}, got {self.border}.")
        if self.shuffle_seed is not None and self.shuffle_seed < 0:
            raise InputError(f"stream.shuffle_seed: must be at least 0, got {self.shuffle_seed}.")
        if self.order:
            catalogue.tasks_of(self.order)
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
    if task.name.lower() == NO_TASK:
        raise InputError(f"{where}.name: {task.name!r} stands for no task at all; use another.")
    check_options(task.options, f"{where}.options")
    if task.hub and task.source:
        raise InputError(f"{where}: source and hub exclude each other; give one.")
    limits = {
        "most_train": task.most_train,
        "most_dev": task.most_dev,
        "most_test": task.most_test,
    }
    for field, limit in limits.items():
        if limit is not None and limit < 1:
            raise InputError(f"{where}.{field}: must be at least 1 or left out, got {limit}.")
    if not task.hub:
        of_hub = {"hub_config": task.hub_config, "revision": task.revision, **limits}
        for field, value in of_hub.items():
            if value:
                raise InputError(f"{where}.{field}: {value!r} has no meaning without hub.")
        if not task.source and not task.train:
            raise InputError(f"{where}: no rows; give source, hub, or at least a train file.")
    for field, value in (("text", task.text), ("label", task.label)):
        if not value:
            raise InputError(f"{where}.{field}: a column's name, got an empty one.")
    for form in task.forms:
        parts(form, f"{where}.forms")
    if task.forms and (task.text, task.label == TEXT) != (TEXT, False):
        raise InputError(
            f"{where}: forms take the place of text; leave text out, and name no label {TEXT!r}."
        )
    for label, answer in task.answers.items():
        if not answer_key(answer):
            raise InputError(
                f"{where}.answers: {answer!r}, the answer for {label!r}, is empty or only"
                " punctuation, which exact match does not see."
            )
        if task.options and answer not in task.options:
            raise InputError(
                f"{where}.answers: {answer!r}, the answer for {label!r}, is not among the"
                f" options{nearest(answer, task.options) or '.'}"
            )
