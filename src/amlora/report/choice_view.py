"""How learning rates were chosen, on the page: each candidate and its score, the chosen marked.

Runs scored on dev rows serve that choice, so they stand here and not among the results.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.records.alike import line_of
from amlora.records.run import StoredRun as Run
from amlora.report.choices import Choice
from amlora.report.format import MISSING, percent
from amlora.report.methods_table import learning_rate

COLUMNS = (
    *("line", "first task", "learning rate", "dev score, %", "loss, last tenth", "chosen"),
    "folder of the run",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """One candidate; `chosen` is None where no choice names it."""

    cells: tuple[str, ...]
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceView:
    """All candidates, and the rules that chose among them."""

    columns: tuple[str, ...]
    rows: tuple[CandidateRow, ...]
    rules: tuple[str, ...]
    chosen: int
    """How many choices there are."""
    trials: int
    """How many runs were scored on dev rows."""


def choice_view(choices: Sequence[Choice], trials: Sequence[Run]) -> ChoiceView | None:
    """Return the choices, and runs scored on dev rows that no choice names; None without either.

    Args:
        choices: of learning rates.
        trials: the runs of a page that were scored on dev rows.
    """
    if not choices and not trials:
        return None
    rows = [row for choice in choices for row in candidate_rows(choice)]
    named = {candidate.run for choice in choices for candidate in choice.candidates}
    others = [run for run in trials if run.path.name not in named]
    others.sort(key=lambda run: (run.record.name, line_of(run.record), run.record.seed))
    return ChoiceView(
        columns=COLUMNS,
        rows=(*rows, *map(trial_row, others)),
        rules=tuple(dict.fromkeys(choice.rule for choice in choices)),
        chosen=len(choices),
        trials=len(trials),
    )


def candidate_rows(choice: Choice) -> list[CandidateRow]:
    """Return a choice's candidates in the order in which they were tried."""
    line = choice.label if choice.label == choice.method else f"{choice.label} ({choice.method})"
    if choice.order:
        line += f", order {choice.order}"
    return [
        CandidateRow(
            cells=(
                line,
                choice.task,
                f"{candidate.rate:g}",
                percent(candidate.score),
                MISSING if candidate.loss is None else f"{candidate.loss:.4f}",
                "chosen" if candidate.rate == choice.rate else "",
                candidate.run or candidate.problem,
            ),
            chosen=candidate.rate == choice.rate,
        )
        for candidate in choice.candidates
    ]


def trial_row(run: Run) -> CandidateRow:
    """Return a run that was scored on dev rows for some other end."""
    record = run.record
    rate = learning_rate(run)
    losses = record.stages[-1].losses if record.stages else ()
    return CandidateRow(
        cells=(
            f"{record.name}, {record.method}, seed {record.seed}",
            record.tasks[0].name if len(record.tasks) == 1 else f"{len(record.tasks)} tasks",
            MISSING if rate is None else f"{rate:g}",
            percent(record.metrics.average),
            f"{losses[-1]:.4f}" if losses else MISSING,
            "",
            run.path.name,
        ),
        chosen=False,
    )
