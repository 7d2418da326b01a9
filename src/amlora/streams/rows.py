"""Rows of a file, and the examples that are made of them: both know the file and line."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from amlora.errors import InputError, nearest
from amlora.streams.task import Example

COLUMNS = ("text", "label")
PAIR_COLUMNS = ("prompt", "completion")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One object of a file, as it was read."""

    place: str
    """"{file}: line {n}", or what comes closest to it."""
    values: dict[str, object]
    at: int | None = None
    """Its place in the split, where only some of the split's rows were read."""

    def value(self, column: str, where: str) -> object:
        """Return the value in a column; `where`, a setting, is named where there is none.

        Raises:
            InputError: there is no such column.
        """
        if column not in self.values:
            names = ", ".join(map(repr, self.values)) or "none"
            raise InputError(
                f"{where}: column {column!r} is not in {self.place};"
                f" columns are: {names}{nearest(column, self.values) or '.'}"
            )
        return self.values[column]


def pick_columns(row: RawRow, columns: tuple[str, str]) -> tuple[str, str]:
    """Return the names of the text and label columns: the ones asked for, or prompt and completion.

    Prompt and completion serve only if nothing else was asked for and neither default is there.
    """
    names = row.values.keys()
    if columns == COLUMNS and not names & set(COLUMNS) and names >= set(PAIR_COLUMNS):
        return PAIR_COLUMNS
    return columns


def to_examples(
    rows: Iterable[RawRow],
    split: str,
    columns: tuple[str, str],
    where: str,
    known: Collection[str] = (),
) -> tuple[list[Example], tuple[str, str]]:
    """Take text and label out of each row.

    Args:
        rows: one split, in its file's order.
        split: "train", "dev" or "test"; the start of each row's id.
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
    used: tuple[str, str] | None = None
    for index, row in enumerate(rows):
        used = used or pick_columns(row, columns)
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
    return examples, used or columns


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
