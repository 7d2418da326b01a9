"""How a run's progress looks: bars on a terminal, plain lines elsewhere (or with NO_COLOR).

Everything goes to standard error; standard output is left for results. Both displays implement
`amlora.experiment.reporter.Reporter`.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amlora.cli.output import matrix
from amlora.cli.terminal import tell
from amlora.printable import one_line, width
from amlora.report.format import seconds

if TYPE_CHECKING:
    from amlora.experiment.reporter import Reporter
    from amlora.records.schema import Record

BAR = 16  # characters, so that everything fits in 80
UNKNOWN = 80  # columns of a terminal that does not say
EVERY = 10.0  # seconds between two plain lines of the same stage


@contextmanager
def display(*, verbose: bool) -> "Iterator[Reporter]":
    """Choose the display for this terminal; `verbose` means a plain line for every step."""
    plain = verbose or not sys.stderr.isatty() or "NO_COLOR" in os.environ
    if plain or os.environ.get("TERM") == "dumb":
        yield PlainLines(every=0.0 if verbose else EVERY)
    else:
        with (shown := Bars()).bars:
            yield shown


def figures(terms: Mapping[str, float], tokens_per_second: float, *, each: bool) -> str:
    """Show the loss (the terms' sum; with `each` also every term) and the speed."""
    loss = f"loss {sum(terms.values()):.4g}"
    if each and len(terms) > 1:
        loss += f" ({', '.join(f'{name} {value:.3g}' for name, value in terms.items())})"
    return f"{loss}, {tokens_per_second:.0f} tokens/s"


class PlainLines:
    """One line per event, for files and pipes; at most one step every `every` seconds."""

    def __init__(self, *, every: float) -> None:
        self.every = every
        self.stage = ""  # "[2/4] imdb"
        self.begun = 0.0  # when this stage's first step in this process ended
        self.first = 0  # that step
        self.said = 0.0  # when the last line was printed
        self.printing = False
        self.waiting: list[str] = []

    def say(self, text: str) -> None:
        """Print a line; one that a signal's handler says amid another waits for that to end."""
        self.waiting.append(text)
        if self.printing:
            return
        self.printing = True
        try:
            while self.waiting:
                tell(self.waiting.pop(0))
        finally:
            self.printing = False
        self.said = time.monotonic()

    def due(self) -> bool:
        """Return whether enough time has passed for another line."""
        return time.monotonic() - self.said >= self.every

    def stage_started(self, index: int, count: int, task: str, steps: int) -> None:
        """Name the stage."""
        self.stage = one_line(f"[{index}/{count}] {task}")
        self.first = 0
        self.say(f"{self.stage}: {steps} steps")

    def step(
        self, step: int, steps: int, terms: Mapping[str, float], tokens_per_second: float
    ) -> None:
        """Print the step when a line is due, and the last one always."""
        now = time.monotonic()
        if not self.first:
            self.first, self.begun = step, now
        if self.due() or step == steps:
            done = step - self.first
            left = (now - self.begun) / done * (steps - step) if done else None
            ending = "" if left is None or step == steps else f", {seconds(left)} left"
            said = figures(terms, tokens_per_second, each=True)
            self.say(f"{self.stage}: step {step}/{steps}, {said}{ending}")

    def evaluated(self, done: int, total: int, what: str) -> None:
        """Print how far the evaluation is when a line is due."""
        if self.due():
            where = self.stage or "before learning"
            self.say(f"{where}: scored {done}/{total} rows ({one_line(what)})")

    def stage_finished(self, record: "Record") -> None:
        """Print the accuracy matrix so far."""
        self.say(matrix(record))

    def note(self, text: str) -> None:
        """Print a line."""
        self.say(one_line(text))

    def warn(self, text: str) -> None:
        """Print a line marked as a warning."""
        self.say(one_line(f"warning: {text}"))


class Bars:
    """A bar for the steps of a stage and one for the rows scored, redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.console = Console(stderr=True, highlight=False)
        if not self.console.width:  # COLUMNS=0, as some terminals that do not know say
            self.console.width = UNKNOWN
        self.bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self.console,
            transient=True,
        )
        self.training = self.bars.add_task("", total=1, visible=False, figures="")
        self.scoring = self.bars.add_task("", total=1, visible=False, figures="")

    def stage_started(self, index: int, count: int, task: str, steps: int) -> None:
        """Start the stage's bar."""
        self.bars.update(self.scoring, visible=False)
        stage = one_line(f"[{index}/{count}] {task}")
        self.bars.reset(self.training, total=steps, description=stage, visible=True, figures="")

    def step(
        self, step: int, steps: int, terms: Mapping[str, float], tokens_per_second: float
    ) -> None:
        """Move the stage's bar."""
        said = figures(terms, tokens_per_second, each=False)
        self.bars.update(self.training, completed=step, total=steps, figures=said)

    def evaluated(self, done: int, total: int, what: str) -> None:
        """Move the bar of the rows scored; a new count starts it anew."""
        if done <= self.bars.tasks[self.scoring].completed:
            self.bars.reset(self.scoring)
        said = one_line(f"scoring {what}")
        self.bars.update(self.scoring, completed=done, total=total, description=said, visible=True)

    def stage_finished(self, record: "Record") -> None:
        """Put the bars away and print the accuracy matrix so far."""
        self.bars.update(self.training, visible=False)
        self.bars.update(self.scoring, visible=False)
        from amlora.report.matrix import matrix_table

        plain = matrix(record)
        if width(plain.partition("\n")[0]) <= self.console.width:
            self.console.print(matrix_table(record))
        else:  # the table would be cut; these lines the terminal wraps
            self.console.print(plain, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(one_line(text), markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning above the bars."""
        said = one_line(f"warning: {text}")
        self.console.print(said, markup=False, style="yellow", soft_wrap=True)
