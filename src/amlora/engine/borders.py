"""Find where one task ends and the next begins, from the prompts alone, one row at a time.

The last rows are the window. Its older half says in which way the rows differ from a stage, its
newer half is tested for just that difference: testing on other rows than those that suggested what
to test keeps the test right in any number of dimensions (Cox 1975, "A note on data-splitting for
the evaluation of significance levels"; Kim & Ramdas 2024, "Dimension-agnostic inference using cross
U-statistics"). With older half O, newer half N of h rows, and a stage's two means a and b, over
every other of its rows:

    direction   d = (mean of O - a) / v          v: variances within stages, one per number
    statistic   t = (mean of d.x over N - d.b) / (s sqrt(1/h + 1/n_b))
                                                 s: standard deviation of d.x over N

While the window holds the stage's own rows, t is Student's with h - 1 degrees of freedom if d.x is
normal. If t is above the quantile for the current stage, the rows are not its own. If it is above
for every other stage too, they look like nothing seen, and a new stage begins behind the window.
Else they look like a stage that has been: it is gone back to, and no new stage begins.

Letters: D numbers in a prompt's vector, h rows in half a window.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amlora.evaluate.statistics import upper_quantile
from amlora.streams.settings import DetectionSettings

LEAST_VARIANCE = 1e-12
"""Stands for the variance of a number that is always the same."""
ROUNDING = 1e-9
"""Relative differences below this are none."""


@dataclass(frozen=True, slots=True)
class Borders:
    """What was found in a sequence of rows.

    Attributes:
        starts: the place of the first row of each stage but the first, counted from 0.
        owners: for each row the stage, counted from 0, whose rows it surely looks like; None for
            those that a border was found in, and for those that may be another stage's.
    """

    starts: Sequence[int]
    owners: Sequence[int | None]


class Look:
    """What a stage's rows look like: running means of every other row.

    Attributes:
        means: (2, D) float64, of the rows at even places and of those at odd places.
        counts: how many rows each is the mean of.
    """

    def __init__(self, width: int) -> None:
        self.means = torch.zeros(2, width, dtype=torch.float64)
        self.counts = [0, 0]

    def add(self, vector: Tensor) -> Tensor:
        """Take a row; return (D) what it adds to the sum of squares within the stage."""
        half = sum(self.counts) % 2
        self.counts[half] += 1
        before = vector - self.means[half]
        self.means[half] += before / self.counts[half]
        return before * (vector - self.means[half])


class Detector:
    """Reads rows one after another and says when a new stage begins.

    It keeps two means per stage, the squares within all stages together, the window, and of each
    row whose it is: no prompt.
    """

    def __init__(self, settings: DetectionSettings) -> None:
        self.least, self.half = settings.least, settings.window // 2
        self.window: deque[Tensor] = deque()
        self.bar = upper_quantile(settings.false_alarm, self.half - 1)
        self.looks: list[Look] = []
        self.now = 0  # which of them is the current one
        self.unclear = 0  # rows of the window, the oldest, that may not be the current stage's
        self.squares = torch.zeros(0)  # (D) within stages, once there are rows
        self.rows = 0  # that they are of
        self.owners: list[int | None] = []  # of the rows that have left the window

    def read(self, vector: Tensor) -> bool:
        """Take the next row.

        Args:
            vector: (D) its prompt's; see `engine/route.vector_of`.

        Returns:
            Whether the current stage ends with this row: the next one belongs to a new stage.
        """
        x = vector.double().cpu()
        if not self.looks:
            self.looks, self.squares = [Look(len(x))], torch.zeros_like(x)
        self.window.append(x)
        if len(self.window) > 2 * self.half:
            self.leave(self.window.popleft())
        current = self.looks[self.now]
        if len(self.window) < 2 * self.half or sum(current.counts) < self.least:
            return False
        rows = torch.stack([*self.window])
        if not self.excess(rows, current) > 0:
            return False
        excesses = [self.excess(rows, look) for look in self.looks]
        least = min(excesses)
        if least > 0:
            self.looks.append(Look(len(x)))
            self.now, self.unclear = len(self.looks) - 1, 0
            self.owners += [None] * len(self.window)
            self.window.clear()
            return True
        self.now, self.unclear = excesses.index(least), len(self.window)
        return False

    def leave(self, vector: Tensor) -> None:
        """Add the row that leaves the window to the current stage, if it is surely its own."""
        self.owners.append(None if self.unclear else self.now)
        if self.unclear:
            self.unclear -= 1
            return
        self.squares += self.looks[self.now].add(vector)
        self.rows += 1

    def all_owners(self) -> list[int | None]:
        """Return the owner of each row so far; see `Borders`."""
        clear = len(self.window) - self.unclear
        return [*self.owners, *[None] * self.unclear, *[self.now] * clear]

    def excess(self, rows: Tensor, look: Look) -> float:
        """Return by how much a window's statistic is above the bar, in units of its divisor.

        Args:
            rows: (2 h, D), oldest first.
            look: the stage's that they are compared with.
        """
        older, newer = rows[: self.half], rows[self.half :]
        # One more row, of the mean variance, so that no number that hardly varied weighs all.
        variances = (self.squares + self.squares.mean()) / (self.rows + 1) + LEAST_VARIANCE
        direction = (older.mean(0) - look.means[0]) / variances
        along = newer @ direction
        middle = float(direction @ look.means[1])
        spread = float(along.std()) * math.sqrt(1 / self.half + 1 / look.counts[1])
        rounding = ROUNDING * float(direction.abs() @ look.means[1].abs())
        gap = float(along.mean()) - middle - rounding
        if spread == 0:
            return math.inf if gap > 0 else -math.inf
        return gap / spread - self.bar


def find_borders(vectors: Iterable[Tensor], settings: DetectionSettings) -> Borders:
    """Find the borders in a sequence of rows.

    A stage that the last row of all would begin has no row, and is none.

    Args:
        vectors: (D) of each row, in the order in which rows arrive.
        settings: the detector's.
    """
    detector = Detector(settings)
    ends = [detector.read(vector) for vector in vectors]
    starts = [place + 1 for place, end in enumerate(ends[:-1]) if end]
    return Borders(starts, detector.all_owners())
