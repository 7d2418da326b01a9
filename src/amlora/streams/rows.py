r"""Rows of a file become examples, which know the file and line as well.

Texts may be put together from several columns, and labels exchanged for answers. A form is a text
with columns in braces, as in "Title: {title}\nText: {content}\n"; a brace of the text is doubled.
Values are put in unchanged.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from string import Formatter

from amlora.errors import InputError, nearest
from amlora.streams.task import UNLABELLED, Example

COLUMNS = ("text", "label")
PAIR_COLUMNS = ("prompt", "completion")
TEXT = "text"  # the column that holds what was put together


@dataclass(frozen=True, slots=True)
class RawRow:
    """One object of a file, as it was read."""

    place: str
    """"{file}: line {n}", or what comes closest to it."""
    values: dict[str, object]
    at: int | None = None
    """Its place in the split, where only some of the split's rows were read."""

    def value(self, column: str, where: str) -> object:
        """Return the value in a column, or an InputError that names `where`, a setting."""
        if column not in self.values:
            names = ", ".join(map(repr, self.values)) or "none"
            raise InputError(
                f"{where}: column {column!r} is not in {self.place};"
                f" columns are: {names}{nearest(column, self.values) or '.'}"
            )
        return self.values[column]


def to_examples(
    rows: Iterable[RawRow],
    split: str,
    columns: tuple[str, str],
    where: str,
    known: Collection[str] = (),
) -> tuple[list[Example], tuple[str, str]]:
    """Take text and label out of each row of a split, whose name begins the rows' ids.

    Args:
        rows: in their file's order.
        columns: the names of the text and label columns.
        where: dotted path of the task's settings.
        known: labels that the settings or the source name; true and false are written as there.

    Returns:
        The examples, labels without white space around them and empty where the file gives none;
        and the columns that were used.

    Raises:
        InputError: a missing column, an empty text, a value that is not text.
    """
    examples: list[Example] = []
    used = columns
    for index, row in enumerate(rows):
        names = row.values.keys()
        # Prompt and completion serve where nothing else was asked for and neither default is there.
        pair = names >= set(PAIR_COLUMNS) and not names & set(COLUMNS)
        if not index and pair and columns == COLUMNS:
            used = PAIR_COLUMNS
        text, label = (
            row.value(column, f"{where}.{field}")
            for field, column in zip(COLUMNS, used, strict=True)
        )
        if not isinstance(text, str):
            raise InputError(f"{row.place}: {used[0]} must be text, got {shown(text)}.")
        if not text.strip():
            raise InputError(f"{row.place}: {used[0]} is empty.")
        check_characters(text, row.place, used[0])
        examples.append(
            Example(
                text=text,
                label=to_label(label, row.place, used[1], known),
                row=f"{split}:{index if row.at is None else row.at}",
                place=row.place,
            )
        )
    return examples, used


def to_label(value: object, place: str, column: str, known: Collection[str] = ()) -> str:
    """Return a label as text: text, a whole number or true/false; empty for nothing.

    JSON's and Parquet's true is "True", or "true" where that is a known label and "True" is none.
    """
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise InputError(f"{place}: {column} must be text or a whole number, got {shown(value)}.")
    label = str(value).strip()
    if isinstance(value, bool) and label not in known and label.lower() in known:
        return label.lower()
    check_characters(label, place, column)
    return label


def check_characters(text: str, place: str, column: str) -> None:
    """Refuse halves of characters, as JSON can spell them; nothing can write or tokenise them."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: {column} holds {text[error.start]!r}, half of a character (a surrogate), as"
            f" its character {error.start + 1}."
        ) from None


def shown(value: object) -> str:
    """Return a value shortly, with its type, for one line of an error."""
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"


def compose(rows: Sequence[RawRow], forms: Sequence[str], where: str) -> list[RawRow]:
    """Return the rows with their text in the column `TEXT`, put together by a form.

    The first form whose columns all hold text is used for a row; where there is none, the last. An
    InputError names a column that a row lacks, or whose value is neither text nor a number.
    """
    parsed = [parts(form, where) for form in forms]
    composed: list[RawRow] = []
    for row in rows:
        filled = [[(before, value(row, name, where)) for before, name in form] for form in parsed]
        whole = (form for form in filled if all(held is None or held.strip() for _, held in form))
        chosen = next(whole, filled[-1])
        text = "".join(before + (held or "") for before, held in chosen)
        composed.append(replace(row, values={**row.values, TEXT: text}))
    return composed


def parts(form: str, where: str) -> list[tuple[str, str | None]]:
    """Split a form into texts, each with the name of the column behind it (None at the end).

    An InputError for broken braces, no column at all, or more than a name in the braces.
    """
    try:
        found = list(Formatter().parse(form))
    except ValueError as error:
        raise InputError(f"{where}: {form!r}: {error}; a brace of the text is doubled.") from None
    for _, name, spec, conversion in found:
        if name is not None and (not name or spec or conversion):
            raise InputError(f"{where}: {form!r}: braces hold a column's name and nothing else.")
    if all(name is None for _, name, _, _ in found):
        raise InputError(f"{where}: {form!r} names no column; write one as {{column}}.")
    return [(before, name) for before, name, _, _ in found]


def value(row: RawRow, name: str | None, where: str) -> str | None:
    """Return a column's text, empty where the row has nothing there; None for no column.

    Numbers, and true and false, become text as JSON has them.
    """
    if name is None:
        return None
    text = row.value(name, where)
    if text is None or (isinstance(text, float) and math.isnan(text)):  # as pandas writes nothing
        return ""
    if isinstance(text, str):
        check_characters(text, row.place, name)
        return text
    if isinstance(text, bool):
        return str(text).lower()
    if isinstance(text, int | float | Decimal):
        return str(text)
    raise InputError(f"{row.place}: {name} must be text or a number, got {shown(text)}.")


def to_answers(
    examples: Sequence[Example], answers: Mapping[str, str], where: str
) -> list[Example]:
    """Exchange labels for answers; examples without a label stay as they are.

    A label that has an answer is a label, also UNLABELLED and an empty one; one that has none is an
    InputError.
    """
    for example in examples:
        if example.label not in answers and example.label not in ("", UNLABELLED):
            names = ", ".join(map(repr, answers))
            raise InputError(
                f"{example.place}: label {example.label!r} is not in {where}:"
                f" {names}{nearest(example.label, answers) or '.'}"
            )
    return [
        replace(example, label=answers.get(example.label, example.label)) for example in examples
    ]
