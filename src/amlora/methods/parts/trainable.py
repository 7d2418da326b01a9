"""What a method moves that has one model for all tasks: all weights, or one LoRA beside them."""

from typing import Literal

from torch import nn

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import State
from amlora.methods.lora import LoRASettings, mixture_size, mixture_state, restore_mixture
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control
from amlora.mixture.mixture import Mixture
from amlora.settings import Settings

ALL = "all tasks"
"""The name of the one LoRA."""


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


class AllWeights:
    """Every pretrained weight."""

    mixture: Mixture | None = None

    def __init__(self, backbone: Backbone) -> None:
        self.model = backbone.model

    def begin(self) -> None:
        """Unfreeze everything."""
        self.model.requires_grad_(True)

    def weights(self) -> dict[str, nn.Parameter]:
        """Return all parameters by name; tied ones once."""
        return dict(self.model.named_parameters())

    def stored_parameters(self) -> int:
        """Return the model's size."""
        return sum(weight.numel() for weight in self.weights().values())

    def state(self) -> State:
        """Return all weights (no copy)."""
        return State({name: weight.data for name, weight in self.weights().items()})

    def restore(self, state: State) -> None:
        """Write the weights back in place."""
        for name, weight in self.weights().items():
            weight.data.copy_(state.take(name, tuple(weight.shape), weight.dtype))


class OneLoRA:
    """One LoRA in every adapted layer, at full weight, made at the first `begin`."""

    def __init__(self, backbone: Backbone, lora: LoRASettings, *, seed: int) -> None:
        self.lora, self.seed = lora, seed
        model = backbone.model
        targets = find_targets(model, model.config.model_type, lora.targets)
        self.mixture: Mixture = inject(model, targets, Control(combine="sum", dropout=lora.dropout))

    def begin(self) -> None:
        """Make the LoRA where there is none yet, and let it learn."""
        if not len(self.mixture):
            self.mixture.grow(
                ALL,
                rank=self.lora.rank,
                alpha=self.lora.alpha,
                start="zeros",
                seed=self.seed,
            )
        self.mixture.train_newest("none")

    def weights(self) -> dict[str, nn.Parameter]:
        """Return A and B of every layer by name; there are none before the first `begin`."""
        return {
            f"{name}.{stack}": tail
            for name, layer in self.mixture.layers.items()
            for stack, tail in (("a", layer.bank.a_tail), ("b", layer.bank.b_tail))
            if tail is not None
        }

    def stored_parameters(self) -> int:
        """Return the LoRA's size."""
        return mixture_size(self.mixture)

    def state(self) -> State:
        """Return the LoRA (no copy)."""
        return mixture_state(self.mixture)

    def restore(self, state: State) -> None:
        """Put a LoRA in the place of this one, frozen; no LoRA where the state has none."""
        restore_mixture(self.mixture, state)
        if self.mixture.names not in ([], [ALL]):
            raise InputError(f"names: there must be one LoRA, {ALL!r}.")


def make_trainable(
    backbone: Backbone, settings: TrainableSettings, *, seed: int
) -> AllWeights | OneLoRA:
    """Return what the settings name."""
    if settings.trainable == "all":
        return AllWeights(backbone)
    return OneLoRA(backbone, settings.lora or LoRASettings(), seed=seed)
