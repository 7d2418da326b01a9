"""By what a task's answers are scored: chosen by its data, or as named."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, median

from amlora.evaluate.score import is_match, normalise
from amlora.evaluate.text import rouge_l, rouge_library, token_f1
from amlora.records.skills import Metric
from amlora.streams.task import Task

Measure = Callable[[str, str], float]
"""Takes an answer and the right one, gives 0..1."""
SHORT = 5
"""Words: an answer of a usual length up to this is scored by f1, longer ones by rouge-l, to which
the order of words matters."""


def choose_metric(task: Task, wanted: Metric | None = None) -> Metric:
    """Return the metric that is wanted, or the one that fits the task's answers.

    An answer out of options is exactly right or wrong. Free text is scored by the words that it
    shares with the right answer, in any order where the train rows' median answer has at most SHORT
    of them.

    Raises:
        InputError: it needs a library that is not installed.
    """
    if wanted is None:
        usual = median(len(normalise(row.label).split()) for row in task.train)
        free: Metric = "f1" if usual <= SHORT else "rouge-l"
        wanted = "exact" if task.options else free
    if wanted == "rouge-l":
        rouge_library()
    return wanted


def metric_of(metric: Metric) -> Measure:
    """Return what scores an answer; a ValueError for "loss", which scores no answer."""
    measures: dict[Metric, Measure] = {"exact": exact, "f1": token_f1, "rouge-l": rouge_l}
    if metric not in measures:
        raise ValueError(f"{metric!r} scores probabilities, not answers.")
    return measures[metric]


def exact(answer: str, gold: str) -> float:
    """Return 1 for a match without case, ASCII punctuation and extra white space, else 0."""
    return float(is_match(answer, gold))


def majority_score(train: Sequence[str], scored: Sequence[str], metric: Metric) -> float:
    """Return what always giving the train rows' most frequent answer scores on other rows.

    Both are right answers, at least one of each. Of equally frequent ones the first counts. By
    "loss" it is 0: what gives always one answer gives any other no probability.
    """
    if metric == "loss":
        return 0.0
    ((answer, _),) = Counter(train).most_common(1)
    measure = metric_of(metric)
    return fmean(measure(answer, gold) for gold in scored)
