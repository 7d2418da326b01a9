"""What all methods that keep LoRAs share: the mixture, its growth, its state."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import Method, ParameterGroup, Stage, State
from amlora.mixture.bank import Start, Trained, check_scale
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control
from amlora.mixture.mixture import Mixture
from amlora.mixture.reference import Combine
from amlora.settings import Many, Settings

Share = Annotated[float, Field(gt=0, le=1)]
PerTask = NonNegativeFloat | Many[NonNegativeFloat]
"""One number for all tasks, or one per task, as the paper's lambda is: named in `Method.per_task`,
so that a list of the wrong length is refused before a run begins."""
SharePerTask = Share | Many[Share]
ALL = "all tasks"
"""The name of a LoRA that serves all tasks."""


class LoRASettings(Settings):
    """The LoRA of one task (Hu et al. 2021; section 4.3 of the paper)."""

    rank: PositiveInt = 8
    """R in the paper (section 4.3)."""
    alpha: PositiveFloat = 32.0
    """The update is alpha / rank * B A x (section 4.3)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """On x, one mask for all LoRAs of a layer (section 7.3)."""
    targets: Many[str] = ()
    """Projections to adapt: last name parts or shell patterns; empty for query and value."""

    def check(self) -> None:
        """Refuse an alpha that no LoRA of this rank can be used at."""
        check_scale(self.alpha, self.rank)


class OneLoRASettings(Settings):
    """A method whose only choice is its LoRA."""

    lora: LoRASettings = LoRASettings()


class LoRAMethod(Method):
    """A new LoRA for every task, the earlier ones frozen; subclasses say how they combine."""

    combine: Combine = "sum"
    selectors: Trained = "none"
    start: Start = "zeros"
    Settings = OneLoRASettings
    settings: OneLoRASettings

    def __init__(self, backbone: Backbone, settings: OneLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.lora = self.settings.lora
        self.index = 0  # of the stage that learns
        self.mixture: Mixture = add_mixture(backbone, self.lora, self.combine)
        self.keep(KeptMixture(self.mixture))

    def begin(self, stage: Stage) -> None:
        """Add this task's LoRA, which changes nothing until it learns except by its share."""
        self.mixture.grow(
            self.lora_name(stage),
            rank=self.lora.rank,
            alpha=self.lora.alpha,
            start=self.start,
            seed=self.seed,
        )
        self.open(stage)

    def open(self, stage: Stage) -> None:
        """Let the newest LoRA learn, and its selectors as the method says.

        Raises:
            InputError: the newest LoRA is not the stage's.
        """
        wanted = self.lora_name(stage)
        if self.mixture.names[-1:] != [wanted]:
            raise InputError(f"names: the newest LoRA must be {wanted!r}.")
        self.mixture.train_newest(self.selectors)
        self.index = stage.index

    def lora_name(self, stage: Stage) -> str:
        """Return what a stage's new LoRA is called."""
        return stage.task

    def parameters(self) -> list[ParameterGroup]:
        """Return the newest LoRA's A and B of every layer."""
        return [ParameterGroup("lora", self.mixture.lora_parameters())]

    def end(self, stage: Stage) -> None:
        """Freeze."""
        self.mixture.freeze()

    def stored_parameters(self) -> int:
        """Return the size of all LoRAs, and of the selectors where there is attention."""
        return mixture_size(self.mixture)


def add_mixture(backbone: Backbone, lora: LoRASettings, combine: Combine) -> Mixture:
    """Put a mixture without LoRAs into the layers that the settings name."""
    model = backbone.model
    targets = find_targets(model, model.config.model_type, lora.targets)
    control = Control(combine=combine, dropout=lora.dropout, routing=backbone.routing)
    return inject(model, targets, control)


def mixture_size(mixture: Mixture) -> int:
    """Return the size of all LoRAs, and of the selectors where there is attention."""
    wanted = ("a", "b", "w") if mixture.control.combine == "attention" else ("a", "b")
    tensors = mixture.tensors().items()
    return sum(t.numel() for name, t in tensors if name.rsplit(".", 1)[-1] in wanted)


@dataclass
class KeptMixture:
    """All LoRAs and selectors, and what tells their stages or opens their gates."""

    mixture: Mixture

    def state(self) -> State:
        """Return them (no copy)."""
        mixture = self.mixture
        ranks, alphas = mixture.shapes()
        tensors = mixture.tensors()
        if mixture.stages is not None:
            tensors |= mixture.kept() | mixture.stages.tensors()
        if mixture.gates is not None:
            tensors |= mixture.gates.tensors()
        return State(tensors, {"names": list(mixture.names), "ranks": ranks, "alphas": alphas})

    def restore(self, state: State) -> None:
        """Replace them by stored ones, frozen; by none where there are none.

        Raises:
            InputError: names what is missing, does not fit the rest, or is out of range.
        """
        mixture, kept = self.mixture, 0
        names, alphas = state.value("names", list[str]), state.value("alphas", list[float])
        ranks = state.value("ranks", list[PositiveInt])
        if not len(names) == len(ranks) == len(alphas):
            raise InputError(
                f"ranks: {len(names)} LoRAs, {len(ranks)} ranks, {len(alphas)} alphas."
            )
        for alpha, rank in zip(alphas, ranks, strict=True):
            try:
                check_scale(alpha, rank)
            except ValueError as error:
                raise InputError(f"alphas: {error}") from None
        if mixture.stages is not None:
            mixture.stages.restore(state.tensors)
            if len(mixture.stages) > len(names):
                raise InputError(f"stages: {len(mixture.stages)} of {len(names)} LoRAs.")
            kept = len(mixture.stages) if mixture.control.combine == "attention" else 0
        if mixture.gates is not None:
            mixture.gates.restore(state.tensors, len(names))
        mixture.restore(names, ranks, alphas, state.tensors, stages=kept)


def numbers(values: PerTask) -> tuple[float, ...]:
    """Return all numbers of a setting."""
    return values if isinstance(values, tuple) else (values,)


def number_of(values: PerTask, index: int) -> float:
    """Return the number of a task, 0 for the first."""
    return values[index] if isinstance(values, tuple) else values
