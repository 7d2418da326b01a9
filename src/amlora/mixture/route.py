"""Which stage's model answers each row of a forward pass, or how much of each LoRA.

The model of stage k is its team of LoRAs with the selectors as they were when stage k ended; other
LoRAs are absent. Stage 0 is the base model alone. A row's route weighs the stages. Where LoRAs have
gates there are no stages, and a row's route says how far each gate is open.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = tuple[float, ...]
"""A weight for stage 0 and for each kept stage in turn; they add up to 1."""


@dataclass(frozen=True, slots=True)
class Gating:
    """How far each LoRA's gate is open for a row, 0..1, oldest first."""

    gates: Weights


Route = Weights | Gating


@dataclass(frozen=True)
class Routes:
    """The routes of all rows of one forward pass."""

    stage: int | None
    """The one stage that answers all rows; None where rows differ or mix stages."""
    weights: Tensor
    """(rows, 1 + stages) float64."""
    places: Tensor
    """(rows, S) the stages with a weight, heaviest first; S is the most that any row has."""
    shares: Tensor
    """(rows, S) their weights, 0 where a row has fewer."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What a prompt's statistic says of it, and what its route was chosen by."""

    posterior: Weights
    """How likely the prompt is each stage's, given that it is one of them; adds up to 1."""
    distance: float
    """From the prompts of the likeliest stage, in units of the most that is taken for its own:
    above 1 the prompt is of no task. 0 where there is no such limit."""


NONE = "none"
"""What stage 0 is called where stages are named."""
NOTED = 1e-3
"""Posteriors below are left out where they are written down."""


def by_name(route: Route | None, names: Sequence[str]) -> dict[str, float] | None:
    """Return a row's weights above 0 by the stages' names, None where there are no stages."""
    if route is None or isinstance(route, Gating):
        return None
    named = zip((NONE, *names), route, strict=False)
    return {name: weight for name, weight in named if weight > 0}


def noted(belief: Belief | None, names: Sequence[str]) -> dict[str, object]:
    """Return a belief in words: {"posterior": {stage: 0..1}, "distance": 0..}; {} where none is."""
    if belief is None:
        return {}
    named = zip(names, belief.posterior, strict=False)
    posterior = {name: round(value, 4) for name, value in named if value >= NOTED}
    return {"posterior": posterior, "distance": round(belief.distance, 4)}


def only_stage(route: Route) -> int | None:
    """Return the stage that has all the weight, None where several have some or there is none."""
    return route.index(1.0) if not isinstance(route, Gating) and 1.0 in route else None


def collect(routes: Sequence[Weights], device: torch.device) -> Routes:
    """Put the routes of some rows together."""
    stages = {only_stage(route) for route in routes}
    weights = torch.tensor(routes, dtype=torch.float64)
    most = int((weights > 0).sum(1).max())
    shares, places = weights.topk(most, dim=1)
    stage = stages.pop() if len(stages) == 1 else None
    return Routes(stage, weights.to(device), places.to(device), shares.to(device))


class Routing:
    """The routes of the forward pass in progress: given by whoever runs the model, read by layers.

    Attributes:
        now: None for the plain mixture of all LoRAs; (rows, N) where each row has a gate per LoRA.
    """

    def __init__(self) -> None:
        self.now: Routes | Tensor | None = None

    @contextmanager
    def of(self, routes: Sequence[Route | None], device: torch.device) -> Generator[None]:
        """Route the rows of the forward passes inside; without routes all is left as it is.

        A model that makes several rows of one, as beam search does, must put them next to one
        another.

        Raises:
            ValueError: some rows have a route and others have none, or one of another kind.
        """
        given = [route for route in routes if route is not None]
        if not given:
            yield
            return
        if len(given) < len(routes):
            raise ValueError("either all rows of a forward pass have a route or none has.")
        gatings = [route for route in given if isinstance(route, Gating)]
        weights = [route for route in given if not isinstance(route, Gating)]
        if gatings and weights:
            raise ValueError("rows of one forward pass have either stages or gates.")
        before = self.now
        if gatings:
            self.now = torch.tensor([gating.gates for gating in gatings], device=device)
        else:
            self.now = collect(weights, device)
        try:
            yield
        finally:
            self.now = before
