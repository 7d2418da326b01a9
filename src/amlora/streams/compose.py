r"""Texts put together from several columns, and labels exchanged for answers.

A form is a text with columns in braces, such as "Title: {title}\nText: {content}\n"; a brace that
belongs to the text is doubled. Values are put in unchanged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from string import Formatter

from amlora.errors import InputError, nearest
from amlora.streams.rows import Record, Row, check_characters, shown
from amlora.streams.task import UNLABELLED

TEXT = "text"  # the column that holds what was put together


def compose(records: Sequence[Record], forms: Sequence[str], where: str) -> list[Record]:
    """Return the records with their text in the column `TEXT`.

    Args:
        records: of one split.
        forms: the first one whose columns all hold text is used for a record; where there is none,
            the last.
        where: dotted path of the forms, for errors.

    Raises:
        InputError: a column that a record lacks, or whose value is neither text nor a number.
    """
    parsed = [parts(form, where) for form in forms]
    made: list[Record] = []
    for record in records:
        filled = [
            [(before, value(record, name, where)) for before, name in form] for form in parsed
        ]
        whole = (form for form in filled if all(held is None or held.strip() for _, held in form))
        chosen = next(whole, filled[-1])
        text = "".join(before + (held or "") for before, held in chosen)
        made.append(Record(record.place, {**record.values, TEXT: text}, record.at))
    return made


def parts(form: str, where: str) -> list[tuple[str, str | None]]:
    """Split a form into texts, each with the name of the column behind it (None at the end).

    Raises:
        InputError: broken braces, no column at all, or more than a name in the braces.
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


def value(record: Record, name: str | None, where: str) -> str | None:
    """Return a column's text, empty where the record has nothing there; None for no column.

    Numbers, and true and false, become text as JSON has them.
    """
    if name is None:
        return None
    if name not in record.values:
        names = ", ".join(repr(column) for column in record.values) or "none"
        raise InputError(
            f"{where}: column {name!r} is not in {record.place};"
            f" columns are: {names}{nearest(name, record.values) or '.'}"
        )
    text = record.values[name]
    if text is None:
        return ""
    if isinstance(text, str):
        check_characters(text, record.place, name)
        return text
    if isinstance(text, bool):
        return str(text).lower()
    if isinstance(text, float) and math.isnan(text):  # how pandas writes that there is nothing
        return ""
    if isinstance(text, int | float | Decimal):
        return str(text)
    raise InputError(f"{record.place}: {name} must be text or a number, got {shown(text)}.")


def to_answers(rows: Sequence[Row], answers: Mapping[str, str], where: str) -> list[Row]:
    """Exchange labels for answers; rows without a label stay as they are.

    A label that has an answer is a label, also UNLABELLED and an empty one.

    Raises:
        InputError: a label that has no answer.
    """
    made: list[Row] = []
    for row in rows:
        if row.label in answers:
            row = replace(row, label=answers[row.label])
        elif row.label not in ("", UNLABELLED):
            names = ", ".join(repr(label) for label in answers)
            raise InputError(
                f"{row.place}: label {row.label!r} is not in {where}:"
                f" {names}{nearest(row.label, answers) or '.'}"
            )
        made.append(row)
    return made
