"""What all methods that keep LoRAs share: the mixture, its growth, its state."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import Group, Method, Stage, State
from amlora.mixture.bank import Start, Trained, check_scale
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control
from amlora.mixture.mixture import Mixture
from amlora.mixture.reference import Combine
from amlora.settings import Many, Settings
from amlora.settings import Settings as MethodSettings


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
    gain: bool = False

    def __init__(
        self, backbone: Backbone, settings: MethodSettings, *, seed: int, lora: LoRASettings
    ) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.lora = lora
        model = backbone.model
        targets = find_targets(model, model.config.model_type, lora.targets)
        control = Control(
            combine=self.combine,
            dropout=lora.dropout,
            gain=self.gain,
            routing=backbone.routing,
        )
        self.mixture: Mixture = inject(model, targets, control)

    def begin(self, stage: Stage) -> None:
        """Add this task's LoRA, which changes nothing until it learns except by its share."""
        self.mixture.grow(
            self.lora_name(stage),
            rank=self.lora.rank,
            alpha=self.lora.alpha,
            start=self.start,
            seed=self.seed,
        )
        self.mixture.train_newest(self.selectors)

    def lora_name(self, stage: Stage) -> str:
        """Return what a stage's new LoRA is called."""
        return stage.task

    def parameters(self) -> list[Group]:
        """Return the newest LoRA's A and B of every layer."""
        return [Group("lora", self.mixture.lora_parameters())]

    def end(self, stage: Stage) -> None:
        """Freeze."""
        self.mixture.freeze()

    def stored_parameters(self) -> int:
        """Return the size of all LoRAs, and of the selectors where there is attention."""
        return mixture_size(self.mixture)

    def state(self) -> State:
        """Return all LoRAs and selectors."""
        return mixture_state(self.mixture)

    def restore(self, state: State) -> None:
        """Take the LoRAs and selectors back, frozen."""
        restore_mixture(self.mixture, state)

    def resume(self, state: State, stage: Stage) -> None:
        """Take them back and make the newest LoRA trainable again.

        Raises:
            InputError: the newest LoRA is not the stage's.
        """
        self.restore(state)
        wanted = self.lora_name(stage)
        if self.mixture.names[-1:] != [wanted]:
            raise InputError(f"names: the newest LoRA must be {wanted!r}.")
        self.mixture.train_newest(self.selectors)


def mixture_size(mixture: Mixture) -> int:
    """Return the size of all LoRAs, and of the selectors where there is attention."""
    wanted = ("a", "b", "w") if mixture.control.combine == "attention" else ("a", "b")
    tensors = mixture.tensors().items()
    return sum(t.numel() for name, t in tensors if name.rsplit(".", 1)[-1] in wanted)


def mixture_state(mixture: Mixture) -> State:
    """Return all LoRAs and selectors (no copy)."""
    ranks, alphas = mixture.shapes()
    return State(
        mixture.tensors(), {"names": list(mixture.names), "ranks": ranks, "alphas": alphas}
    )


def restore_mixture(mixture: Mixture, state: State) -> None:
    """Replace all LoRAs and selectors by stored ones, frozen; by none where there are none."""
    mixture.restore(*stored_loras(state), state.tensors)


def stored_loras(state: State) -> tuple[list[str], list[int], list[float]]:
    """Return names, ranks and alphas of the LoRAs of a state.

    Raises:
        InputError: they are missing, not equally many, or out of range.
    """
    names, alphas = state.value("names", list[str]), state.value("alphas", list[float])
    ranks = state.value("ranks", list[PositiveInt])
    if not len(names) == len(ranks) == len(alphas):
        raise InputError(f"ranks: {len(names)} LoRAs, {len(ranks)} ranks, {len(alphas)} alphas.")
    for alpha, rank in zip(alphas, ranks, strict=True):
        try:
            check_scale(alpha, rank)
        except ValueError as error:
            raise InputError(f"alphas: {error}") from None
    return names, ranks, alphas
