"""SeqFT: all weights trained on one task after the other (de Masson d'Autume et al. 2019).

Methods that have one model for all tasks build on it: they too move all weights, or one LoRA.
"""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import Method, ParameterGroup, Stage, State
from amlora.methods.lora import ALL, KeptMixture, LoRASettings, add_mixture, mixture_size
from amlora.mixture.mixture import Mixture
from amlora.settings import Settings


class TrainableSettings(Settings):
    """All weights, as published, or one LoRA, so that methods compare at equal trainable size."""

    trainable: Literal["all", "lora"] = "all"
    """What learns: every pretrained weight, or one LoRA for all tasks."""
    lora: LoRASettings | None = None
    """The LoRA where `trainable` is "lora"; None for the defaults of `LoRASettings`."""

    def check(self) -> None:
        """Refuse a LoRA that would not be used."""
        if self.trainable == "all" and self.lora is not None:
            raise ValueError(
                'lora has no effect while trainable is "all"; set trainable to "lora".'
            )


class SeqFT(Method):
    """No penalty, no memory. How much it forgets depends on the learning rate alone."""

    Settings = TrainableSettings
    settings: TrainableSettings

    def __init__(self, backbone: Backbone, settings: TrainableSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.trainable = (
            AllWeights(backbone)
            if self.settings.trainable == "all"
            else OneLoRA(backbone, self.settings.lora or LoRASettings(), seed=seed)
        )
        self.mixture = self.trainable.mixture
        self.keep(self.trainable)

    @classmethod
    def trains_base(cls, settings: TrainableSettings) -> bool:
        return settings.trainable == "all"

    def open(self, stage: Stage) -> None:
        """Let everything learn."""
        self.trainable.open()

    def parameters(self) -> list[ParameterGroup]:
        """Return all that learns, at one rate."""
        return [ParameterGroup("all", list(self.trainable.weights().values()))]

    def stored_parameters(self) -> int:
        """Return the size of the model or of the LoRA: one serves all tasks."""
        return self.trainable.stored_parameters()


class AllWeights:
    """Every pretrained weight."""

    mixture: Mixture | None = None

    def __init__(self, backbone: Backbone) -> None:
        self.model = backbone.model

    def open(self) -> None:
        """Unfreeze everything."""
        self.model.requires_grad_(True)

    def weights(self) -> dict[str, nn.Parameter]:
        """Return all parameters by name; tied ones once."""
        return dict(self.model.named_parameters())

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the same."""
        return self.weights()

    def stored_parameters(self) -> int:
        """Return the model's size."""
        return sum(weight.numel() for weight in self.weights().values())

    def state(self) -> State:
        """Return all weights (no copy)."""
        return State({name: weight.data for name, weight in self.weights().items()})

    def restore(self, state: State) -> None:
        """Write the weights back in place."""
        for name, weight in self.weights().items():
            weight.data.copy_(state.take(name, weight))


class OneLoRA(KeptMixture):
    """One LoRA in every adapted layer, at full weight, made when it first learns."""

    def __init__(self, backbone: Backbone, lora: LoRASettings, *, seed: int) -> None:
        super().__init__(add_mixture(backbone, lora, "sum"))
        self.lora, self.seed = lora, seed

    def open(self) -> None:
        """Make the LoRA where there is none yet, and let it learn."""
        rank, alpha = self.lora.rank, self.lora.alpha
        if not len(self.mixture):
            self.mixture.grow(ALL, rank=rank, alpha=alpha, start="zeros", seed=self.seed)
        self.mixture.train_newest("none")

    def weights(self) -> dict[str, nn.Parameter]:
        """Return A and B of every layer by name; there are none before the first `open`."""
        return {
            f"{name}.{stack}": tail
            for name, layer in self.mixture.layers.items()
            for stack, tail in (("a", layer.bank.a_tail), ("b", layer.bank.b_tail))
            if tail is not None
        }

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the same, frozen or not."""
        return {n: t for n, t in self.mixture.tensors().items() if not n.endswith(".w")}

    def stored_parameters(self) -> int:
        """Return the LoRA's size."""
        return mixture_size(self.mixture)

    def restore(self, state: State) -> None:
        """Put a LoRA in the place of this one, frozen; no LoRA where the state has none."""
        super().restore(state)
        if self.mixture.names not in ([], [ALL]):
            raise InputError(f"names: there must be one LoRA, {ALL!r}.")
