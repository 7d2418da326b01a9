"""A new task's rows: from a file, a folder, the hub or the built-in texts, and what each is for.

Train rows are learned from. Stop rows tell when learning has gone on long enough. On kept rows the
skill is scored, now and in later versions. Where the data have dev and test rows of their own these
are the stop and the kept rows; otherwise both are set aside from the train rows. No text is in two
places, or twice in one.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from amlora.errors import InputError, nearest
from amlora.records.skills import Metric
from amlora.skills.metric import choose_metric
from amlora.skills.settings import LearnSettings, Words
from amlora.streams.check import check_labels, find_sameness
from amlora.streams.load import load_given
from amlora.streams.quickstart import BUILT_IN, built_in_task
from amlora.streams.read import SUFFIXES, kind_of
from amlora.streams.sample import take
from amlora.streams.settings import QUICKSTART, StreamSettings, TaskSettings
from amlora.streams.source import similar
from amlora.streams.task import Example, Task, answer_key, text_key

STOP = 200
"""At most so many stop rows, and a tenth of the rows where they are set aside."""
KEPT = 200
"""So many rows are scored where none are kept."""
STOP_SHARE, KEPT_SHARE = 10, 5
"""One row in so many is set aside to stop by, and one in so many to be kept."""
LEAST = 20
"""Distinct texts; of fewer, two would tell when to stop and four how good the skill is."""
DOUBLED = 1.25
"""So many times the rows that are needed are read of the hub, as some may be there twice."""
HUB_ID = re.compile(
    r"(?P<hub>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?(:(?P<hub_config>[^:@/]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task that is about to be learned."""

    task: Task
    """Its dev rows are the stop rows, its test rows the kept ones."""
    metric: Metric
    duplicates: int
    """Rows dropped because another has an equal text."""
    contradictions: int
    """Rows among these whose label is another: with options all that have the text, in free text
    all but the first."""
    notes: list[str]
    """What a reader should know, a line each; the first one counts the rows."""
    source: str
    """Where the rows came from, as it was named."""


def read_task(name: str, data: str | Path, words: Words, settings: LearnSettings) -> NewTask:
    """Read a new task's rows, drop what is there twice, and set rows aside.

    Args:
        name: what the task is called.
        data: a file (JSON lines, JSON, CSV, TSV, Parquet), a folder with train, dev and test files
            or in the reference layout, a hub data set as "name/repository" ("@revision" and
            ":configuration" may follow), or "quickstart/NAME" for a built-in task.
        words: what stands around a text, and where the columns are.
        settings: say how many rows are learned from and kept, and the seed that decides which.

    Raises:
        InputError: no such data, or something in them is wrong; too few rows, or one label only.
    """
    free = words.metric in ("f1", "rouge-l") and not words.options
    task, notes = read_given(name, str(data), words, settings, free=free)
    if free:
        task = replace(task, options=())
        notes.append(f"{name}: scored by {words.metric}, so answers are free text.")
    task, duplicates, contradictions = distinct(task)
    rows = [*task.train, *task.dev, *task.test]
    if len(rows) < LEAST:
        raise InputError(
            f"{name}: {data} has {len(rows)} distinct texts, the least is {LEAST}: one in"
            f" {STOP_SHARE} tells when to stop learning, and one in {KEPT_SHARE} how well it went."
        )
    if not task.train:
        raise InputError(f"{name}: all train texts of {data} are dev or test texts as well.")
    if find_sameness(rows, name):
        raise InputError(
            f"{name}: all {len(rows)} rows of {data} have the label {rows[0].label!r}: there is"
            " nothing to learn."
        )
    given = len(task.train)
    task, divided = divide(task, settings)
    if not task.train:
        raise InputError(
            f"{name}: {data} has {given} distinct train text; stop rows are set aside from these,"
            " so at least 2 are needed."
        )
    metric = choose_metric(task, words.metric)
    counted = count_line(task, metric, settings, duplicates, contradictions)
    return NewTask(
        task=task,
        metric=metric,
        duplicates=duplicates,
        contradictions=contradictions,
        notes=[counted, *notes, *divided],
        source=str(data),
    )


def read_rows(name: str, data: str | Path, words: Words) -> list[Example]:
    """Read rows to score a skill on: the test rows, else the dev rows, else all that there are.

    They are as they are given, however few, and texts may be there twice. Arguments and errors are
    as in `read_task`.
    """
    task, _ = read_given(name, str(data), words, LearnSettings(), free=not words.options)
    return list(task.test or task.dev or task.train)


def read_given(
    name: str, data: str, words: Words, settings: LearnSettings, *, free: bool = False
) -> tuple[Task, list[str]]:
    """Return a task with its rows as they are given, and notes; a split that is not is empty.

    With `free` labels are free text, however few.
    """
    place = Path(data).expanduser()
    kind, _, part = data.partition("/")
    if kind == QUICKSTART and part and not place.exists():
        return built_in(name, part, words), []
    given = {"source": data} if place.exists() else hub_settings(data, settings)
    task = TaskSettings.of(
        {
            **given,
            "name": name,
            "instruction": words.instruction,
            "options": words.options,
            "text": words.text,
            "label": words.label,
        }
    )
    try:
        return load_given(task, StreamSettings(sample_seed=settings.seed), name, free=free)
    except InputError as error:
        said = str(error).removeprefix(f"{name}.hub: ")
        if said == str(error):
            raise
        close = nearest_built_in(data)
        why = f"no file or folder, and no data set to be had from the hub: {said}"
        raise InputError(f"{data}: {why.rstrip('.') + close if close else why}") from error


def built_in(name: str, part: str, words: Words) -> Task:
    """Return a built-in task under another name, with the words that are given in place of its."""
    if (words.text, words.label) != (Words().text, Words().label):
        raise InputError(f"{QUICKSTART}/{part}: built-in texts have no columns to be named.")
    task = built_in_task(part)
    if words.options:
        for rows in (task.train, task.dev, task.test):
            check_labels(rows, words.options, "options")
    return replace(
        task,
        name=name,
        instruction=words.instruction or task.instruction,
        options=words.options or task.options,
    )


def hub_settings(data: str, settings: LearnSettings) -> dict[str, object]:
    """Return what settings of a task say of a hub data set, or an InputError for what is no id."""
    place = Path(data).expanduser()
    found = HUB_ID.fullmatch(data)
    beside = place.parent != Path() and place.parent.is_dir()
    if not found or beside or kind_of(place) in SUFFIXES:
        raise InputError(
            f"{data}: no such file or folder{nearest_built_in(data) or similar(place)}"
        )
    given: dict[str, object] = {key: said for key, said in found.groupdict().items() if said}
    if settings.max_train is not None:
        most = settings.max_train + STOP + most_kept(settings)
        given["most_train"] = math.ceil(DOUBLED * most)
    return given


def nearest_built_in(data: str) -> str:
    """Return "; did you mean 'quickstart/sms'?" for what is nearly that, else ""."""
    return nearest(data, [f"{QUICKSTART}/{part}" for part in BUILT_IN])


def most_kept(settings: LearnSettings) -> int:
    """Return the most rows that a skill is scored on."""
    return settings.keep_dev or KEPT if isinstance(settings.keep_dev, int) else KEPT


def distinct(task: Task) -> tuple[Task, int, int]:
    """Leave each text (case, punctuation and white space aside) once, and count the others.

    Of texts in several splits that in test stays, else that in dev. Where equal texts have several
    labels out of options, nobody can tell which is right, and none stays. In free text several
    answers may be right, and the first stays.

    Returns:
        The task; how many rows were dropped; and how many of these because labels differ.
    """
    splits = {"test": task.test, "dev": task.dev, "train": task.train}
    groups: defaultdict[str, list[Example]] = defaultdict(list)
    for rows in splits.values():
        for row in rows:
            groups[text_key(row.text)].append(row)
    stays: set[str] = set()
    contradictions = 0
    for rows in groups.values():
        others = sum(answer_key(row.label) != answer_key(rows[0].label) for row in rows)
        if others and task.options:
            contradictions += len(rows)
        else:
            contradictions += others
            stays.add(rows[0].row)
    distinct = {
        split: tuple(row for row in rows if row.row in stays) for split, rows in splits.items()
    }
    dropped = sum(map(len, groups.values())) - len(stays)
    return replace(task, **distinct), dropped, contradictions


def divide(task: Task, settings: LearnSettings) -> tuple[Task, list[str]]:
    """Cut dev and test rows to the stop and the kept rows, and set aside what is not there.

    Rows are drawn by the seed and the task's name, and each label in proportion.

    Returns:
        The task, and notes.
    """
    left = list(task.train)
    total, chosen = len(left), dict[str, list[Example]]()
    for split, given, most, share in (
        ("test", task.test, most_kept(settings), KEPT_SHARE),
        ("dev", task.dev, STOP, STOP_SHARE),
    ):
        if given:
            _, chosen[split] = draw(list(given), most, task, settings, split)
        else:
            wanted = max(1, min(most, total // share))
            left, chosen[split] = draw(left, wanted, task, settings, split)
    notes: list[str] = []
    if settings.max_train is not None and settings.max_train < len(left):
        notes.append(f"{task.name}: {settings.max_train:,} of {len(left):,} train rows are used.")
        _, left = draw(left, settings.max_train, task, settings, "train")
    if absent := [option for option in task.options if option not in {row.label for row in left}]:
        names = ", ".join(map(repr, absent))
        notes.append(f"{task.name}: no train row has the label {names}, so it is not learned.")
    splits = {"train": left, **chosen}
    return replace(task, **{split: tuple(rows) for split, rows in splits.items()}), notes


def draw(
    rows: list[Example], count: int, task: Task, settings: LearnSettings, split: str
) -> tuple[list[Example], list[Example]]:
    """Take so many rows out for a split; return the rows left and the rows taken."""
    return take(
        rows,
        count,
        seed=settings.seed,
        task=task.name,
        by_label=bool(task.options),
        split=split,
    )


def count_line(
    task: Task, metric: Metric, settings: LearnSettings, duplicates: int, contradictions: int
) -> str:
    """Return how many rows there are of each kind, for a reader."""
    kept = "kept" if isinstance(settings.keep_dev, int) and settings.keep_dev else "scored"
    line = (
        f"{len(task.train):,} train, {len(task.dev):,} stop, {len(task.test):,} {kept} rows;"
        f" {f'{len(task.options)} options' if task.options else 'free text'}, scored by {metric}"
    )
    if duplicates:
        line += f"; {duplicates:,} duplicate{'s' if duplicates > 1 else ''} dropped"
    if contradictions:
        line += f", {contradictions:,} of them for different labels"
    return line
