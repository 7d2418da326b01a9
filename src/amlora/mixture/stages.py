"""Which stage a prompt belongs to: linear discriminants over one vector per prompt (Fisher 1936).

Each stage is its prompts' mean; all stages share one covariance, shrunk towards a sphere. A prompt
belongs to the stage with the largest posterior, or, if it is unlike that one's prompts, to none:
stage 0.
Everything is kept as sums over prompts, and no prompt itself.

Letters: K stages, D numbers in a prompt's vector.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Annotated, Literal, cast

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from amlora.errors import InputError
from amlora.mixture.route import Belief, Weights
from amlora.mixture.tensors import check_tensor, present
from amlora.settings import Settings

Mixing = Literal["hard", "soft"]
"""hard: the likeliest stage answers alone. soft: stages answer in the shares of their posterior."""
Covariance = Literal["full", "diagonal"]

NEGLIGIBLE = 1e-3
"""Soft: stages with a smaller posterior are left out and the others' shares scaled up."""
LEAST_SHRINKAGE = 1e-4
"""So that a covariance of fewer prompts than D can be inverted, whatever the rounding."""
LEAST_VARIANCE = 1e-12
"""Stands for the variance of prompts that are all the same."""
LEAST_REJECT = 1e-9
"""A smaller chance would say nothing that any number of prompts could show."""
MOST_PROMPTS = 2**40
"""Of a stage: more can be no count."""
UNEVEN = 1e-3
"""How far a scatter may be from symmetric by rounding, in units of both deviations."""
LEAST_PROMPTS = 8
"""Of a stage, for their distances to say how far away a prompt may be."""


class StageSettings(Settings):
    """How a prompt's stage is found; see `methods/anchored_lora.py` for sources."""

    mixing: Mixing
    temperature: PositiveFloat
    reject: Annotated[float, Field(ge=0, lt=0.5)]
    covariance: Covariance
    shrinkage: Annotated[float, Field(ge=LEAST_SHRINKAGE, le=1)] | None
    feature_layers: NonNegativeInt = 0

    def check(self) -> None:
        """Refuse what would have no effect."""
        if self.mixing == "hard" and self.temperature != 1:
            raise ValueError('temperature has no effect while mixing is "hard".')
        if 0 < self.reject < LEAST_REJECT:
            raise ValueError(f"reject must be 0, or at least {LEAST_REJECT}, got {self.reject}.")


class Stages:
    """The statistic of all stages that have ended.

    Attributes:
        counts: (K) prompts of each stage.
        means: (K, D) their mean.
        variances: (K, D) their own variances, for the distance that stage 0 is decided by.
        limits: (K) the largest such distance at which a prompt may be the stage's.
        scatter: (D, D), or (D) where the covariance is diagonal: the sum over all prompts of the
            outer product of their distance to their stage's mean.
        fourth: (1) the sum over all prompts of that product's squared entries.
    """

    def __init__(self, settings: StageSettings) -> None:
        self.settings = settings
        self.changes = 0  # grows whenever routes may change
        self.linear: tuple[Tensor, Tensor, Tensor] | None = None  # made when first needed
        self.clear()

    def clear(self) -> None:
        """Be the statistic of no stage."""
        self.counts = torch.zeros(0, dtype=torch.int64)
        self.means = self.variances = torch.zeros(0, 0)
        self.limits = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros(0)
        self.fourth = torch.zeros(1, dtype=torch.float64)
        self.changed()

    def __len__(self) -> int:
        """Return K."""
        return len(self.counts)

    def add(self, vectors: Tensor) -> None:
        """Add a stage of prompts, at least one, with the vectors (prompts, D)."""
        self.insert(len(self), vectors)

    def insert(self, place: int, vectors: Tensor) -> None:
        """Add a stage of prompts (prompts, D) before the one at a place, counted from 0."""
        x = vectors.double().cpu()
        if not len(self):
            width = x.shape[1]
            self.means = self.variances = torch.zeros(0, width)
            full = self.settings.covariance == "full"
            self.scatter = torch.zeros((width, width) if full else width)
        mean = x.mean(0)
        rest = x - mean
        own = scatter = rest.square().sum(0)
        own_fourth = fourth = rest.pow(4).sum()
        if self.settings.covariance == "full":
            scatter, fourth = rest.T @ rest, rest.square().sum(1).square().sum()
        variance, share = shrunk(own, own_fourth, len(x), self.settings.shrinkage)
        limit = limit_of(left_out_distances(rest, own, share), self.settings.reject)
        # Rounded at once: what is stored then goes on as what was not.
        self.counts = put(self.counts, place, torch.tensor([len(x)]))
        self.means = put(self.means, place, mean.float()[None])
        self.variances = put(self.variances, place, variance.float()[None])
        self.limits = put(self.limits, place, torch.tensor([limit], dtype=torch.float64))
        self.scatter = (self.scatter.double() + scatter).float()
        self.fourth = self.fourth + fourth
        self.changed()

    def drop(self, place: int) -> None:
        """Take the stage at a place, counted from 0, out; the others keep their order.

        Sums cannot be taken apart: the covariance that all stages share stays as it was, with the
        dropped prompts' part in it, and counts from now on for as many prompts as are left. Later
        prompts so outweigh the dropped ones. Their mean, variances and limit are gone.
        """
        if len(self) == 1:
            self.clear()
            return
        before = int(self.counts.sum())
        for name in "counts", "means", "variances", "limits":
            rows: Tensor = vars(self)[name]
            vars(self)[name] = torch.cat([rows[:place], rows[place + 1 :]])
        share = int(self.counts.sum()) / before
        self.scatter = (self.scatter.double() * share).float()
        self.fourth = self.fourth * share
        self.changed()

    def replace(self, place: int, vectors: Tensor) -> None:
        """Let the stage at a place be of other prompts (prompts, D); see `drop` for its old ones.

        The only stage is made anew.
        """
        self.drop(place)
        self.insert(place, vectors)

    def changed(self) -> None:
        """Forget what was made of the sums, and let others know."""
        self.changes += 1
        self.linear = None

    def covariance(self) -> Tensor:
        """Return the shared covariance, shrunk: (D, D), or (D) where it is diagonal; float64."""
        scatter, count = self.scatter.double(), int(self.counts.sum())
        return shrunk(scatter, self.fourth[0], count, self.settings.shrinkage)[0]

    def scores(self, vector: Tensor) -> Tensor:
        """Return (K) linear-discriminant scores of a prompt, float64; equal priors.

        They are -1/2 of its squared Mahalanobis distances, but for a term that all stages share.
        """
        if self.linear is None:
            means = self.means.double()
            # Scores do not depend on the origin, and are smallest about the middle.
            middle = means.mean(0)
            means = means - middle
            covariance = self.covariance()
            if covariance.ndim == 2:
                root = cast(Tensor, torch.linalg.cholesky(covariance))  # pyright: ignore[reportUnknownMemberType]
                slopes = torch.cholesky_solve(means.T, root).T
            else:
                slopes = means / covariance
            self.linear = middle, slopes, (means * slopes).sum(1) / 2
        middle, slopes, offsets = self.linear
        return slopes @ (vector.double().cpu() - middle) - offsets

    def posterior(self, vector: Tensor) -> Tensor:
        """Return (K) how likely a prompt is each stage's, given that it is one of them."""
        return (self.scores(vector) / self.settings.temperature).softmax(0)

    def distance(self, vector: Tensor, stage: int) -> float:
        """Return how far a prompt (D) lies from those of a stage, from 0, in units of its limit.

        It is above 1 for a prompt that is unlike the stage's, and 0 where there is no limit. Only
        the likeliest stage is asked: another with a few odd prompts might have a wide limit, within
        which prompts of any kind would lie.
        """
        rest = vector.double().cpu() - self.means[stage].double()
        squared = (rest.square() / self.variances[stage].double()).sum()
        return float(squared / self.limits[stage])

    def belief(self, vector: Tensor) -> Belief | None:
        """Return what a prompt (D) is taken for, None before the first stage has ended."""
        return self.beliefs(vector[None])[0] if len(self) else None

    def beliefs(self, vectors: Tensor) -> list[Belief]:
        """Return what each of some prompts (prompts, D) is taken for; some stage must have ended.

        Each is the same, to the last bit, whichever prompts it is asked for with.
        """
        x = vectors.double().cpu()
        if not len(x):
            return []
        # A product of matrices would round by their sizes; one with a vector does not.
        scores = torch.stack([self.scores(vector) for vector in x])
        posterior = (scores / self.settings.temperature).softmax(1)
        stage = posterior.argmax(1)
        squares = (x - self.means[stage].double()).square() / self.variances[stage].double()
        distances = squares.sum(1) / self.limits[stage]
        rows = torch.cat([posterior, distances[:, None]], 1)
        numbers = cast(list[list[float]], rows.tolist())  # pyright: ignore[reportUnknownMemberType]
        return [Belief(tuple(shares), distance) for *shares, distance in numbers]

    def weights(self, belief: Belief) -> Weights:
        """Return the weights of stages 0..K by a belief."""
        shares = belief.posterior
        if belief.distance > 1:
            return (1.0, *[0.0] * len(shares))
        if self.settings.mixing == "hard":
            likeliest = shares.index(max(shares))
            return (0.0, *(float(k == likeliest) for k in range(len(shares))))
        kept = [share if share >= NEGLIGIBLE else 0.0 for share in shares]
        return (0.0, *(share / sum(kept) for share in kept))

    def route(self, vector: Tensor) -> Weights | None:
        """Return the weights of stages 0..K for a prompt (D), None before a stage has ended."""
        belief = self.belief(vector)
        return None if belief is None else self.weights(belief)

    @property
    def width(self) -> int:
        """D, once a stage has ended."""
        return self.means.shape[1]

    def size(self, stages: int, width: int) -> int:
        """Return how many numbers the statistic of so many stages is, D being `width`."""
        shared = width**2 if self.settings.covariance == "full" else width
        return stages * (2 * width + 2) + shared + 1

    def tensors(self) -> dict[str, Tensor]:
        """Return the statistic by name (no copy)."""
        names = "counts", "means", "variances", "limits", "scatter", "fourth"
        return {f"stages.{name}": vars(self)[name] for name in names}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors()` returned; other tensors may be among it.

        An InputError if one is missing, does not fit the others, or cannot be a statistic.
        """
        names = self.tensors()
        counts, means = (present(tensors, f"stages.{name}") for name in ("counts", "means"))
        stages, width = len(counts) if counts.ndim else 0, means.shape[-1] if means.ndim else 0
        full = self.settings.covariance == "full"
        empty = (0,) if not stages else (width, width) if full else (width,)
        wanted = ((stages,), (stages, width), (stages, width), (stages,), empty, (1,))
        kinds = ("int64", "float32", "float32", "float64", "float32", "float64")
        for name, shape, kind in zip(names, wanted, kinds, strict=True):
            check_tensor(name, present(tensors, name), shape, kind, finite=False)
        vars(self).update({name.removeprefix("stages."): tensors[name].cpu() for name in names})
        self.changed()
        self.check_values()

    def check_values(self) -> None:
        """Refuse values that no prompts could have led to, naming their tensor."""
        scatter = self.scatter.double()
        full = scatter.ndim == 2
        sizes = (scatter.diagonal() if full else scatter).sqrt()
        uneven = (scatter - scatter.T).abs() > UNEVEN * sizes.outer(sizes) if full else sizes < 0
        for name, right, told in (
            ("counts", (self.counts >= 1) & (self.counts <= MOST_PROMPTS), "numbers of prompts"),
            ("means", self.means.isfinite(), "finite"),
            ("variances", self.variances.isfinite() & (self.variances > 0), "finite and above 0"),
            ("limits", self.limits >= LEAST_VARIANCE / 2, "distances"),  # infinite where none is
            ("scatter", scatter.isfinite(), "finite"),
            ("scatter", sizes >= 0, "at least 0 on its diagonal"),
            ("scatter", ~uneven, "symmetric"),
            ("fourth", self.fourth.isfinite() & (self.fourth >= 0), "finite and at least 0"),
        ):
            if not right.all():
                raise InputError(f"stages.{name}: must be {told}.")
        if len(self):
            try:
                scores = self.scores(self.means[0])
            except RuntimeError:  # the decomposition failed
                raise InputError("stages.scatter: leads to no positive covariance.") from None
            if not scores.isfinite().all():
                raise InputError("stages.means: lead to scores that are not finite.")


def put(rows: Tensor, place: int, row: Tensor) -> Tensor:
    """Return rows with another one before the one at a place."""
    return torch.cat([rows[:place], row, rows[place:]])


def shrunk(
    scatter: Tensor, fourth: Tensor, count: int, share: float | None
) -> tuple[Tensor, float]:
    """Return a covariance shrunk towards a sphere, and the sphere's share.

    Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices",
    lemmas 3.2 to 3.4: the share is the estimate's variance over its squared distance from the
    sphere, which makes the expected squared error least. For a diagonal covariance both are taken
    among diagonal ones, as by Opgen-Rhein & Strimmer 2007, whose target is the median.

    Args:
        scatter: (D, D) the sum of outer products of centred vectors, or (D) its diagonal.
        fourth: the sum over vectors of the squared entries of their outer product, or diagonal.
        count: vectors.
        share: a share to use instead, 0..1.
    """
    estimate = scatter / count
    full = estimate.ndim == 2
    diagonal = estimate.diagonal() if full else estimate
    level = diagonal.mean()
    sphere = torch.diag(level.expand_as(diagonal)) if full else level.expand_as(diagonal)
    if share is None:
        distance = (estimate - sphere).square().sum()
        variance = (fourth / count - estimate.square().sum()) / count
        share = 1.0 if not distance > 0 else float((variance / distance).clamp(0, 1))
    share = max(share, LEAST_SHRINKAGE)
    mixed = (1 - share) * estimate + share * sphere
    least = torch.full_like(diagonal, LEAST_VARIANCE)
    return mixed + (torch.diag(least) if full else least), share


def left_out_distances(rest: Tensor, own: Tensor, share: float) -> Tensor:
    """Return each prompt's squared distance from a stage's mean in units of its variances.

    Mean and variances are those of the other prompts, as if this one were new: leaving x out of n
    moves it n / (n - 1) times as far from the mean, and takes n / (n - 1) times its square out of
    the scatter. `rest` (n, D) are the prompts minus their mean, `own` (D) the sum of its squares,
    and `share` is the sphere's in the variances.
    """
    count = len(rest)
    if count == 1:
        return torch.full((1,), math.inf, dtype=rest.dtype)
    times = count / (count - 1)
    variances = (own - times * rest.square()).clamp(min=0) / (count - 1)
    variances = (1 - share) * variances + share * variances.mean(1, keepdim=True) + LEAST_VARIANCE
    return ((times * rest).square() / variances).sum(1)


def limit_of(distances: Tensor, reject: float) -> float:
    """Return what a new prompt's distance should exceed with a chance of `reject`.

    The distances' logarithms are taken to be normal above their median, with the deviation that
    their ninth decile tells: neither a few odd prompts nor a few that are all alike move it much.
    An order statistic would be exact for any distances, but at one in a hundred needs 99 prompts
    and is then the largest of them. It is infinity where the chance is 0, or the stage's own
    prompts, whose distances are (n) each as if it were new, are too few to tell.
    """
    if len(distances) < LEAST_PROMPTS or not reject:
        return math.inf
    logs = distances.clamp(min=LEAST_VARIANCE).log()
    median, decile = (float(logs.quantile(share)) for share in (0.5, 0.9))
    normal = NormalDist()
    return math.exp(median + (decile - median) * normal.inv_cdf(1 - reject) / normal.inv_cdf(0.9))
