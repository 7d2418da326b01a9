"""Settings of a stream: which tasks, in which order, how many rows of each, and in which prompt."""

import re
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from amlora.errors import nearest
from amlora.settings import Many, Settings
from amlora.streams import catalogue
from amlora.streams.check import check_options
from amlora.streams.prompt import Form, Prefix
from amlora.streams.rows import TEXT, parts
from amlora.streams.task import answer_key

DevFrom = Literal["dev", "train"]
Boundaries = Literal["told", "found"]
QUICKSTART = "quickstart"
MOST_BORDER = 0.5
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # a task's name is part of file names
Column = Annotated[str, Field(min_length=1)]
NO_TASK = "none"  # what the base model alone is called beside tasks (`mixture.route.NONE`)


class TaskSettings(Settings):
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
    options: Many[str] = ()
    """The allowed answers. Empty: the labels of the train rows, or free text if these are many."""
    text: Column = "text"
    """Column of the text (`sentence` in the reference layout)."""
    label: Column = "label"
    """Column of the answer. Columns `prompt` and `completion` serve if both defaults are absent."""
    forms: Many[str] = ()
    """The text put together from columns, as in "Title: {title}\\nText: {body}"; takes the place of
    `text`. Of several, the first whose columns all hold text is used for a row, else the last."""
    answers: dict[str, str] = Field(default_factory=dict)
    """The answer for each label, as in {0 = "no", 1 = "yes"}; empty: labels are the answers. What
    has an answer is a label, also "-" and "", which mean that a row has none otherwise."""
    most_train: PositiveInt | None = None
    """Read at most so many of the hub's train rows (None: all), drawn by `sample_seed`."""
    most_dev: PositiveInt | None = None
    """The same for dev rows."""
    most_test: PositiveInt | None = None
    """The same for test rows."""
    category: str = ""
    """Kind of task for the `Task:` prefix; the reference layout's own folder gives it otherwise."""
    dataset: str = ""
    """What the `Dataset:` prefix names; the reference layout's folder or the name otherwise."""
    show_options: bool = True
    """Whether the prompt lists the options."""

    def check(self) -> None:
        """Refuse what can be refused without opening a file: as a name, as options, as a source."""
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"name: {self.name!r} is not a task name; use 1 to 64 letters, digits and . _ + -,"
                " a letter or digit first."
            )
        if self.name.lower() == NO_TASK:
            raise ValueError(f"name: {self.name!r} stands for no task at all; use another.")
        check_options(self.options, "options")
        if self.hub and self.source:
            raise ValueError("only one of source and hub may be given.")
        for name in ("hub_config", "revision", "most_train", "most_dev", "most_test"):
            if not self.hub and (value := getattr(self, name)):
                raise ValueError(f"{name}: {value!r} has no meaning without hub.")
        if not (self.hub or self.source or self.train):
            raise ValueError("no rows; give source, hub, or at least a train file.")
        for form in self.forms:
            parts(form, "forms")
        if self.forms and (self.text != TEXT or self.label == TEXT):
            raise ValueError(
                f"forms take the place of text; leave text out, and name no label {TEXT!r}."
            )
        for label, answer in self.answers.items():
            where = f"answers: {answer!r}, the answer for {label!r}, is"
            if not answer_key(answer):
                raise ValueError(
                    f"{where} empty or only punctuation, which exact match does not see."
                )
            if self.options and answer not in self.options:
                close = nearest(answer, self.options) or "."
                raise ValueError(f"{where} not among the options{close}")


class DetectionSettings(Settings):
    """When rows look like nothing seen, and a stage begins (`amlora.engine.borders`).

    The defaults are ours (docs/howto/found-borders.md).
    """

    window: Annotated[int, Field(ge=6)] = 32
    """The last rows, an even number. The older half says in which way they differ from a stage, the
    newer half is tested for it (Cox 1975; Kim & Ramdas 2024)."""
    least: Annotated[int, Field(ge=4)] = 32
    """Rows of a stage, beside the window, before which nothing is compared with it."""
    false_alarm: Annotated[float, Field(ge=1e-9, le=0.1)] = 1e-5
    """The chance that a window of a stage's own rows is taken for something new: the level of
    Student's t test (Student 1908)."""

    def check(self) -> None:
        """Refuse a window without two halves."""
        if self.window % 2:
            raise ValueError(f"window must be an even number, got {self.window}.")


class StreamSettings(Settings):
    """A stream: the built-in `quickstart`, an order of the paper, or own tasks."""

    name: str = ""
    """"quickstart" is the built-in stream; any other name is only a name."""
    data_root: str = ""
    """Folder of the reference layout, or the folder that relative task sources start from; relative
    to the settings file. It may begin with an environment variable, "$NAME". An order without it is
    read from the hub."""
    tasks: Many[TaskSettings] = ()
    """Own tasks, in the order in which they are learned."""
    order: str = ""
    """One of the paper's six orders (its table 4), "1" to "6", or its tasks by name, as in
    "amazon, yelp"."""
    first_tasks: PositiveInt | None = None
    """Only so many of the tasks, the first ones (None: all)."""
    shuffle_seed: NonNegativeInt | None = None
    """Learn the tasks in an order drawn by this seed (None: as given); `first_tasks` cuts that.
    Settings with one number per task follow it as well."""
    border: Annotated[float, Field(ge=0, le=MOST_BORDER)] = 0.0
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
    train_per_task: PositiveInt | None = None
    """At most so many train rows a task (None: all), drawn after `train_per_class`."""
    train_per_class: PositiveInt | None = None
    """At most so many train rows of each label; a free-text task counts as one class."""
    dev_per_class: PositiveInt | None = None
    """At most so many dev rows of each label."""
    dev_per_task: PositiveInt | None = None
    """At most so many dev rows a task, drawn after `dev_per_class`."""
    test_per_class: PositiveInt | None = None
    """At most so many test rows of each label."""
    test_per_task: PositiveInt | None = None
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

    def check(self) -> None:
        """Refuse what has no effect or no meaning together."""
        if self.boundaries == "told" and self.detection != DetectionSettings():
            raise ValueError('detection has no effect while boundaries is "told".')
        if self.order:
            catalogue.tasks_of(self.order)
        ways = {f"name = {QUICKSTART!r}": self.name == QUICKSTART}
        ways |= {"order": bool(self.order), "tasks": bool(self.tasks)}
        if len(given := [way for way, used in ways.items() if used]) > 1:
            # Not "name ...", which would speak of that setting alone.
            raise ValueError(f"only one of {' and '.join(given)} may be given.")
        for name, count in Counter(task.name.lower() for task in self.tasks).items():
            if count > 1:
                raise ValueError(f"tasks: {count} tasks are named {name!r}; names are unique.")
