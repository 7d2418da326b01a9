"""Free-text answers whose meaning the reference's rule of exact match does not see.

It drops ASCII punctuation, so "-5" equals "5", "1.5" equals "15", and "?" equals no answer at all.
Options are checked for this when a task is read; free text is anything, so here it is counted.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from amlora.streams.task import Task
from amlora.streams.text import answer_key, text_key

NUMBER = re.compile(r"(?<!\w)[-+][.,]?\d|\d[.,]\d|(?<!\w)[.,]\d")  # with a sign, a point or a comma


def find_unscored(task: Task) -> list[str]:
    """Return a warning with the count of answers that the rule takes for others, if any."""
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
    groups: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for label in labels:
        groups[text_key(label)][" ".join(label.casefold().split())].append(label)
    return {
        label
        for forms in groups.values()
        if len(forms) > 1
        for alike in forms.values()
        for label in alike
    }
