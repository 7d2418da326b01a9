"""Normal distributions with one covariance, kept as sums over the vectors that they are of.

Letters: K distributions, D numbers in a vector.
"""

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor

from amlora.errors import InputError
from amlora.mixture.shrink import shrunk
from amlora.mixture.tensors import check_tensor, present

Covariance = Literal["full", "diagonal"]

NAMES = "counts", "means", "scatter", "fourth"
MOST_VECTORS = 2**40
"""Of a distribution: more can be no count."""
UNEVEN = 1e-3
"""How far a scatter may be from symmetric by rounding, in units of both deviations."""
TAIL = 100.0
"""Degrees of freedom of a Student distribution: nearly normal in the middle, but a vector far away
from all is told with less certainty."""


class Normals:
    """The sums.

    Attributes:
        counts: (K) vectors of each distribution.
        means: (K, D) their mean.
        scatter: (D, D), or (D) where the covariance is diagonal: the sum over all vectors of the
            outer product of their distance to their own mean.
        fourth: (1) the sum over all vectors of that product's squared entries.
    """

    def __init__(self, covariance: Covariance, shrinkage: float | None) -> None:
        self.kind: Covariance = covariance
        self.shrinkage = shrinkage
        self.clear()

    def clear(self) -> None:
        """Be of no vectors."""
        self.counts = torch.zeros(0, dtype=torch.int64)
        self.means = torch.zeros(0, 0)
        self.scatter = torch.zeros(0)
        self.fourth = torch.zeros(1, dtype=torch.float64)
        self.forget()

    def forget(self) -> None:
        """Forget what was made of the sums."""
        self.slopes: tuple[Tensor, Tensor, Tensor] | None = None  # made when first needed
        self.whitened: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        """Return K."""
        return len(self.counts)

    def insert(self, place: int, x: Tensor) -> None:
        """Add the distribution of vectors (vectors, D), float64, before the one at a place."""
        full = self.kind == "full"
        if not len(self):
            width = x.shape[1]
            self.means = torch.zeros(0, width)
            self.scatter = torch.zeros((width, width) if full else width)
        mean = x.mean(0)
        rest = x - mean
        if full:
            scatter, fourth = rest.T @ rest, rest.square().sum(1).square().sum()
        else:
            scatter, fourth = rest.square().sum(0), rest.pow(4).sum()
        # Rounded at once: what is stored then goes on as what was not.
        self.counts = put(self.counts, place, torch.tensor([len(x)]))
        self.means = put(self.means, place, mean.float()[None])
        self.scatter = (self.scatter.double() + scatter).float()
        self.fourth = self.fourth + fourth
        self.forget()

    def drop(self, place: int) -> None:
        """Take a distribution out; the covariance stays, for as many vectors as are left."""
        if len(self) == 1:
            self.clear()
            return
        before = int(self.counts.sum())
        self.counts, self.means = without(self.counts, place), without(self.means, place)
        share = int(self.counts.sum()) / before
        self.scatter = (self.scatter.double() * share).float()
        self.fourth = self.fourth * share
        self.forget()

    def covariance(self) -> Tensor:
        """Return the shared covariance, shrunk: (D, D), or (D) where it is diagonal; float64."""
        scatter, count = self.scatter.double(), int(self.counts.sum())
        return shrunk(scatter, self.fourth[0], count, self.shrinkage)[0]

    def discriminants(self, x: Tensor) -> Tensor:
        """Return (K) the logarithm of each density at a vector (D), float64.

        But for a term that all share, which is what makes them linear in the vector.
        """
        if self.slopes is None:
            means = self.means.double()
            # They do not depend on the origin, and are smallest about the middle.
            middle = means.mean(0)
            means = means - middle
            covariance = self.covariance()
            if covariance.ndim == 2:
                root = cholesky(covariance)
                slopes = torch.cholesky_solve(means.T, root).T
            else:
                slopes = means / covariance
            self.slopes = middle, slopes, (means * slopes).sum(1) / 2
        middle, slopes, offsets = self.slopes
        return slopes @ (x - middle) - offsets

    def predictions(self, x: Tensor) -> Tensor:
        """Return (K) the logarithm of the density of a next vector (D), float64.

        But for a term that depends on D alone. A mean of n vectors is itself 1/n of the covariance
        off, so a next one is spread by 1 + 1/n of it (Geisser 1964); tails are Student's.
        """
        if self.whitened is None:
            means = self.means.double()
            middle = means.mean(0)
            means = means - middle
            covariance, width = self.covariance(), means.shape[1]
            if covariance.ndim == 2:
                root = cholesky(covariance)
                matrix = inverse(root)
                places, volume = means @ matrix.T, root.diagonal().log().sum()
            else:
                matrix = covariance.rsqrt()
                places, volume = means * matrix, covariance.log().sum() / 2
            wider = 1 + 1 / self.counts.double()
            self.whitened = middle, matrix, places, torch.stack([wider, volume.expand(len(wider))])
        middle, matrix, places, (wider, volume) = self.whitened
        x = x - middle
        here = matrix @ x if matrix.ndim == 2 else matrix * x
        squared, width = (here - places).square().sum(1), len(x)
        far = torch.log1p(squared / (wider * TAIL))
        return -(TAIL + width) / 2 * far - width / 2 * wider.log() - volume

    @staticmethod
    def size(count: int, width: int, covariance: Covariance) -> int:
        """Return how many numbers K = `count` distributions are, D being `width`."""
        return count * (width + 1) + (width**2 if covariance == "full" else width) + 1

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums by name (no copy)."""
        return {name: vars(self)[name] for name in NAMES}

    def restore(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        """Take back what `tensors()` returned; an InputError if one is missing or does not fit."""
        counts, means = (present(tensors, prefix + name) for name in ("counts", "means"))
        count, width = len(counts) if counts.ndim else 0, means.shape[-1] if means.ndim else 0
        full = self.kind == "full"
        empty = (0,) if not count else (width, width) if full else (width,)
        wanted = ((count,), (count, width), empty, (1,))
        kinds = ("int64", "float32", "float32", "float64")
        for name, shape, kind in zip(NAMES, wanted, kinds, strict=True):
            check_tensor(prefix + name, present(tensors, prefix + name), shape, kind, finite=False)
        vars(self).update({name: tensors[prefix + name].cpu() for name in NAMES})
        self.forget()

    def check_values(self, prefix: str) -> None:
        """Refuse values that no vectors could have led to, naming their tensor."""
        scatter = self.scatter.double()
        full = scatter.ndim == 2
        sizes = (scatter.diagonal() if full else scatter).sqrt()
        uneven = (scatter - scatter.T).abs() > UNEVEN * sizes.outer(sizes) if full else sizes < 0
        for name, right, told in (
            ("counts", (self.counts >= 1) & (self.counts <= MOST_VECTORS), "numbers of prompts"),
            ("means", self.means.isfinite(), "finite"),
            ("scatter", scatter.isfinite(), "finite"),
            ("scatter", sizes >= 0, "at least 0 on its diagonal"),
            ("scatter", ~uneven, "symmetric"),
            ("fourth", self.fourth.isfinite() & (self.fourth >= 0), "finite and at least 0"),
        ):
            if not right.all():
                raise InputError(f"{prefix}{name}: must be {told}.")
        if len(self):
            try:
                found = self.discriminants(self.means[0].double())
            except RuntimeError:  # the decomposition failed
                raise InputError(f"{prefix}scatter: leads to no positive covariance.") from None
            if not found.isfinite().all():
                raise InputError(f"{prefix}means: lead to scores that are not finite.")


def cholesky(covariance: Tensor) -> Tensor:
    """Return the lower triangular root of a covariance; a RuntimeError where there is none."""
    return cast(Tensor, torch.linalg.cholesky(covariance))  # pyright: ignore[reportUnknownMemberType]


def inverse(root: Tensor) -> Tensor:
    """Return the inverse of a lower triangular matrix."""
    eye = torch.eye(len(root), dtype=root.dtype)
    solve = torch.linalg.solve_triangular  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast(Tensor, solve(root, eye, upper=False))


def put(rows: Tensor, place: int, row: Tensor) -> Tensor:
    """Return rows with another one before the one at a place."""
    return torch.cat([rows[:place], row, rows[place:]])


def without(rows: Tensor, place: int) -> Tensor:
    """Return rows without the one at a place."""
    return torch.cat([rows[:place], rows[place + 1 :]])
