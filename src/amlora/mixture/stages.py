"""Which stage a prompt belongs to: linear discriminants over one vector per prompt (Fisher 1936).

Each stage is its prompts' mean; all stages share one covariance, shrunk towards a sphere. A prompt
belongs to the stage with the largest posterior, or, if it is unlike that one's prompts, to none:
stage 0.
Where prompts may be worded otherwise than in training, each stage has a second mean, of its prompts
and of their texts alone. All second means share a second covariance, which is wide where words
differ. A prompt counts as drawn from either of the two.
Everything is kept as sums over prompts, and no prompt itself.

Letters: K stages, D numbers in a prompt's vector.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, cast

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from amlora.errors import InputError
from amlora.mixture.limit import left_out_distances, limit_of
from amlora.mixture.normals import Covariance, Normals, put, without
from amlora.mixture.route import Belief, Weights
from amlora.mixture.shrink import LEAST_SHRINKAGE, LEAST_VARIANCE, shrunk
from amlora.mixture.tensors import check_tensor, present
from amlora.settings import Settings

Mixing = Literal["hard", "soft"]
"""hard: the likeliest stage answers alone. soft: stages answer in the shares of their posterior."""
Words = Literal["asked", "any"]
Tokens = Literal["mean", "root"]

NEGLIGIBLE = 1e-3
"""Soft: stages with a smaller posterior are left out and the others' shares scaled up."""
LEAST_REJECT = 1e-9
"""A smaller chance would say nothing that any number of prompts could show."""
OWN, WIDE = "stages.", "stages.any."
"""What the names of a statistic's tensors begin with; the second of prompts in any words."""


class StageSettings(Settings):
    """How a prompt's stage is found; see `methods/anchored_lora.py` for sources."""

    mixing: Mixing
    temperature: PositiveFloat
    """Divides the scores before the posterior is made of them."""
    reject: Annotated[float, Field(ge=0, lt=0.5)]
    covariance: Covariance
    shrinkage: Annotated[float, Field(ge=LEAST_SHRINKAGE, le=1)] | None
    feature_layers: NonNegativeInt = 0
    words: Words = "asked"
    """"asked": prompts are worded as in training. "any": a stage is told by its texts alone as
    well, so that prompts in other words, bare texts and chats find it (`docs/router.md`)."""
    tokens: Tokens = "mean"
    """What a token counts that stands n times in a prompt: "mean": n; "root": its square root."""

    def check(self) -> None:
        """Refuse what would have no effect."""
        if 0 < self.reject < LEAST_REJECT:
            raise ValueError(f"reject must be 0, or at least {LEAST_REJECT}, got {self.reject}.")


class Stages:
    """The statistic of all stages that have ended.

    Attributes:
        own: the prompts of each stage, as they were asked.
        wide: where prompts may be in any words: those and their texts alone.
        variances: (K, D) of the prompts, and of the texts alone where these are known: for the
            distance that stage 0 is decided by.
        limits: (K) the largest such distance at which a prompt may be the stage's.
    """

    def __init__(self, settings: StageSettings) -> None:
        self.settings = settings
        self.changes = 0  # grows whenever routes may change
        kind, share = settings.covariance, settings.shrinkage
        self.own = Normals(kind, share)
        self.wide = Normals(kind, share) if settings.words == "any" else None
        self.clear()

    def clear(self) -> None:
        """Be the statistic of no stage."""
        for normals in self.parts().values():
            normals.clear()
        self.variances = torch.zeros(0, 0)
        self.limits = torch.zeros(0, dtype=torch.float64)
        self.changes += 1

    def parts(self) -> dict[str, Normals]:
        """Return the distributions, by what the names of their tensors begin with."""
        return {OWN: self.own} if self.wide is None else {OWN: self.own, WIDE: self.wide}

    @property
    def widest(self) -> Normals:
        """Those that a prompt's distance is taken from."""
        return self.own if self.wide is None else self.wide

    @property
    def counts(self) -> Tensor:
        """(K) prompts of each stage."""
        return self.own.counts

    @property
    def means(self) -> Tensor:
        """(K, D) their mean."""
        return self.own.means

    @property
    def width(self) -> int:
        """D, once a stage has ended."""
        return self.own.means.shape[1]

    def __len__(self) -> int:
        """Return K."""
        return len(self.own)

    def add(self, vectors: Tensor) -> None:
        """Add a stage of prompts, at least one.

        Args:
            vectors: (prompts, D). In any words also (prompts, 2, D), each prompt's own vector and
                that of its text alone.
        """
        self.insert(len(self), vectors)

    def insert(self, place: int, vectors: Tensor) -> None:
        """Add a stage of prompts, as `add` takes them, before the one at a place, from 0."""
        x = vectors.double().cpu()
        prompts, both = (x, x) if x.ndim == 2 else (x[:, 0], x.flatten(0, 1))
        self.own.insert(place, prompts)
        if self.wide is None:
            both = prompts
        else:
            self.wide.insert(place, both)
        rest = both - both.mean(0)
        own = rest.square().sum(0)
        variance, share = shrunk(own, rest.pow(4).sum(), len(both), self.settings.shrinkage)
        limit = limit_of(left_out_distances(rest, own, share), self.settings.reject)
        if not len(self.limits):
            self.variances = torch.zeros(0, x.shape[-1])
        self.variances = put(self.variances, place, variance.float()[None])
        self.limits = put(self.limits, place, torch.tensor([limit], dtype=torch.float64))
        self.changes += 1

    def drop(self, place: int) -> None:
        """Take the stage at a place, counted from 0, out; the others keep their order.

        Sums cannot be taken apart: the covariance that all stages share stays as it was, with the
        dropped prompts' part in it, and counts from now on for as many prompts as are left. Later
        prompts so outweigh the dropped ones. Their mean, variances and limit are gone.
        """
        if len(self) == 1:
            self.clear()
            return
        for normals in self.parts().values():
            normals.drop(place)
        self.variances, self.limits = without(self.variances, place), without(self.limits, place)
        self.changes += 1

    def replace(self, place: int, vectors: Tensor) -> None:
        """Let the stage at a place be of other prompts, as `add` takes them; see `drop`.

        The only stage is made anew.
        """
        self.drop(place)
        self.insert(place, vectors)

    def covariance(self) -> Tensor:
        """Return the prompts' shared covariance, shrunk: (D, D), or (D) where it is diagonal."""
        return self.own.covariance()

    def scores(self, vector: Tensor) -> Tensor:
        """Return (K) how well a prompt (D) fits each stage, float64; equal priors.

        A density's logarithm, but for a term that all stages share: of the normal distribution, or
        in any words of either of two Student distributions.
        """
        x = vector.double().cpu()
        if self.wide is None:
            return self.own.discriminants(x)
        return torch.logaddexp(self.own.predictions(x), self.wide.predictions(x))

    def posterior(self, vector: Tensor) -> Tensor:
        """Return (K) how likely a prompt is each stage's, given that it is one of them."""
        return (self.scores(vector) / self.settings.temperature).softmax(0)

    def distance(self, vector: Tensor, stage: int) -> float:
        """Return how far a prompt (D) lies from those of a stage, from 0, in units of its limit.

        It is above 1 for a prompt that is unlike the stage's, and 0 where there is no limit. Only
        the likeliest stage is asked: another with a few odd prompts might have a wide limit, within
        which prompts of any kind would lie.
        """
        rest = vector.double().cpu() - self.widest.means[stage].double()
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
        rest = x - self.widest.means[stage].double()
        squares = rest.square() / self.variances[stage].double()
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

    def size(self, stages: int, width: int) -> int:
        """Return how many numbers the statistic of so many stages is, D being `width`."""
        each = Normals.size(stages, width, self.settings.covariance)
        return len(self.parts()) * each + stages * (width + 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the statistic by name (no copy)."""
        sums = {
            prefix + name: tensor
            for prefix, normals in self.parts().items()
            for name, tensor in normals.tensors().items()
        }
        return {**sums, f"{OWN}variances": self.variances, f"{OWN}limits": self.limits}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors()` returned; other tensors may be among it.

        An InputError if one is missing, does not fit the others, or cannot be a statistic.
        """
        parts = {prefix: Normals(n.kind, n.shrinkage) for prefix, n in self.parts().items()}
        for prefix, normals in parts.items():
            normals.restore(tensors, prefix)
        own = parts[OWN]
        if WIDE in parts:
            check_tensor(f"{WIDE}means", parts[WIDE].means, own.means.shape, "float32")
        wanted = {
            "variances": (own.means.shape, "float32"),
            "limits": (own.counts.shape, "float64"),
        }
        for name, (shape, kind) in wanted.items():
            found = present(tensors, OWN + name)
            check_tensor(OWN + name, found, shape, kind, finite=False)
        self.own, self.wide = own, parts.get(WIDE)
        self.variances, self.limits = (tensors[OWN + name].cpu() for name in wanted)
        self.changes += 1
        self.check_values()

    def check_values(self) -> None:
        """Refuse values that no prompts could have led to, naming their tensor."""
        for prefix, normals in self.parts().items():
            normals.check_values(prefix)
        for name, right, told in (
            ("variances", self.variances.isfinite() & (self.variances > 0), "finite and above 0"),
            ("limits", self.limits >= LEAST_VARIANCE / 2, "distances"),  # infinite where none is
        ):
            if not right.all():
                raise InputError(f"{OWN}{name}: must be {told}.")
