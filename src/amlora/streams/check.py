"""Checks of options, labels and splits; each names the file and line, or the setting, at fault."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from amlora.errors import InputError, nearest
from amlora.streams.rows import check_characters
from amlora.streams.task import UNLABELLED, Example, Task, answer_key, look_key, text_key

PAIRS = (("train", "test"), ("train", "dev"), ("dev", "test"))
"""Splits that should share no text."""
SHOWN_OPTIONS = 15  # more are cut from an error's line
NUMBER = re.compile(r"(?<!\w)[-+][.,]?\d|\d[.,]\d|(?<!\w)[.,]\d")  # with a sign, a point or a comma


def check_options(options: Sequence[str], where: str) -> None:
    """Refuse options that exact match, or a reader, could not tell apart, by an InputError.

    They are empty, have white space around them, are repeated, or equal without case, punctuation,
    white space, and characters that nobody sees.
    """
    seen: dict[str, str] = {}
    looks: dict[str, str] = {}
    for option in options:
        check_characters(option, where, "an option")
        if option != option.strip() or "\n" in option:
            raise InputError(
                f"{where}: option {option!r} has white space around it or a line break."
            )
        key, look, why = answer_key(option), look_key(option), ""
        if not key:
            why = "is empty or only punctuation"
        elif key in seen:
            equal = f"equals {seen[key]!r} without case, punctuation and white space"
            why = "is there twice" if option == seen[key] else equal
        elif look in looks:
            why = f"looks like {looks[look]!r}: {difference(option, looks[look])}"
        if why:
            raise InputError(f"{where}: option {option!r} {why}.")
        seen[key] = looks[look] = option


def check_labels(rows: Sequence[Example], options: Sequence[str], origin: str) -> None:
    """Refuse a label that is not among the options (of an origin, as in "labels.json").

    Without options, in free text, any label is right; rows kept without a label pass.
    """
    allowed = {*options, UNLABELLED}
    for row in rows if options else ():
        if row.label not in allowed:
            names = ", ".join(repr(option) for option in options[:SHOWN_OPTIONS])
            more = ", ..." if len(options) > SHOWN_OPTIONS else ""
            raise InputError(
                f"{row.place}: label {row.label!r} is not among the options of {origin}:"
                f" {names}{more}{alike(row.label, options) or nearest(row.label, options) or '.'}"
            )


def alike(label: str, options: Sequence[str]) -> str:
    """Return "; it looks like 'spam': U+200B against nothing.", or "" where it looks like none."""
    looks = {look_key(option): option for option in options}
    option = looks.get(look_key(label), label)
    if (label + option).isascii() or not (points := difference(label.lower(), option.lower())):
        return ""
    return f"; it looks like {option!r}: {points}."


def difference(text: str, other: str) -> str:
    """Return the code points that one of two texts has and the other has not; "" for none."""

    def points(characters: str, without: str) -> str:
        own = dict.fromkeys(each for each in characters if each not in without)
        return " ".join(f"U+{ord(each):04X}" for each in own) or "nothing"

    one, two = points(text, other), points(other, text)
    return "" if one == two else f"{one} against {two}"


def drop_unlabelled(
    rows: Sequence[Example], *, keep_marked: bool, where: str
) -> tuple[list[Example], int]:
    """Leave out a split's rows without a label, an empty one or UNLABELLED; say how many.

    With `keep_marked` rows labelled UNLABELLED are kept, as the reference does, and an empty label
    is an InputError. So are no row at all, and none that has a label.
    """
    if not rows:
        raise InputError(f"{where}: no rows.")
    if keep_marked:
        for row in rows:
            if not row.label:
                raise InputError(f"{row.place}: no label, and stream.drop_unlabelled is false.")
        return list(rows), 0
    kept = [row for row in rows if row.label not in ("", UNLABELLED)]
    if not kept:
        raise InputError(f"{where}: none of its {len(rows)} rows has a label.")
    return kept, len(rows) - len(kept)


def find_contradictions(splits: Mapping[str, Sequence[Example]], name: str) -> list[str]:
    """Return a warning with the count of rows whose text another row has with another label."""
    labels: defaultdict[str, dict[str, str]] = defaultdict(dict)
    rows = [row for split in splits.values() for row in split if row.label != UNLABELLED]
    for row in rows:
        labels[row.text].setdefault(row.label, row.row)
    torn = [text for text, found in labels.items() if len(found) > 1]
    if not torn:
        return []
    count = sum(len(labels[row.text]) > 1 for row in rows)
    (label, row), (other, second) = list(labels[torn[0]].items())[:2]
    return [
        f"{name}: {count} rows have a text that another row has with another label, as"
        f" {row} ({label!r}) and {second} ({other!r})."
    ]


def find_sameness(train: Sequence[Example], name: str) -> list[str]:
    """Return a warning where all train rows have one label: there is nothing to tell apart."""
    labels = [row.label for row in train if row.label != UNLABELLED]
    if len(labels) < 2 or len(set(labels)) != 1:
        return []
    return [f"{name}: all {len(labels)} labelled train rows have the label {labels[0]!r}."]


def find_overlap(
    splits: Mapping[str, Sequence[Example]], where: str, pairs: Iterable[tuple[str, str]] = PAIRS
) -> list[str]:
    """Return one line for each two splits that share texts, with the count.

    Texts are compared without case, punctuation and extra white space. A shared text is no error:
    the reference benchmark has dev equal to test, and a caller may know what is shared and why.
    """
    keys = {split: [text_key(row.text) for row in rows] for split, rows in splits.items()}
    lines: list[str] = []
    for first, second in pairs:
        known, compared = set(keys.get(first, [])), keys.get(second, [])
        if count := sum(key in known for key in compared):
            lines.append(
                f"{where}: {count} of {len(compared)} {second} texts are in {first} as well."
            )
    return lines


def find_unscored(task: Task) -> list[str]:
    """Return a warning with the count of free-text answers that the score takes for others, if any.

    The reference's rule of exact match drops ASCII punctuation, so "-5" equals "5", "1.5" equals
    "15", and "?" equals no answer at all. Options are checked for this when a task is read.
    """
    if task.options:
        return []
    labels = [example.label for rows in (task.train, task.dev, task.test) for example in rows]
    unseen = {label for label in set(labels) if not answer_key(label) or NUMBER.search(label)}
    unseen |= twins(set(labels))
    if not unseen:
        return []
    first = next(label for label in labels if label in unseen)
    return [
        f"{task.name}: {sum(label in unseen for label in labels)} of {len(labels)} answers, as"
        f" {first!r}, have a sign or a point in a number, or differ from others in punctuation"
        " alone, which the score does not see; evaluate.rule = 'exact' compares answers as they"
        " are."
    ]


def twins(labels: Iterable[str]) -> set[str]:
    """Return the labels that punctuation, and not only case or spaces, tells from another."""
    forms: defaultdict[str, set[str]] = defaultdict(set)
    spelled = {label: " ".join(label.casefold().split()) for label in labels}
    for label, form in spelled.items():
        forms[text_key(label)].add(form)
    return {label for label in spelled if len(forms[text_key(label)]) > 1}
