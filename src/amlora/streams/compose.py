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
from amlora.streams.rows import RawRow, check_characters, shown
from amlora.streams.task import UNLABELLED, Example

TEXT = "text"  # the column that holds what was put together


def compose(rows: Sequence[RawRow], forms: Sequence[str], where: str) -> list[RawRow]:
    """Return the rows with their text in the column `TEXT`.

    Args:
        rows: of one split.
        forms: the first one whose columns all hold text is used for a row; where there is none,
            the last.
        where: dotted path of the forms, for errors.

    Raises:
        InputError: a column that a row lacks, or whose value is neither text nor a number.
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

    A label that has an answer is a label, also UNLABELLED and an empty one.

    Raises:
        InputError: a label that has no answer.
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
