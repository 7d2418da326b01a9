"""SeqFT: all weights trained on one task after the other (de Masson d'Autume et al. 2019)."""

from torch import nn

from amlora.methods.base import Group, Method, Stage, State


class SeqFT(Method):
    """No LoRA, no penalty, no memory. How much it forgets depends on the learning rate alone."""

    trains_base = True

    def begin(self, stage: Stage) -> None:
        """Unfreeze everything."""
        self.backbone.model.requires_grad_(True)

    def weights(self) -> dict[str, nn.Parameter]:
        """Return all parameters by name; tied ones once."""
        return dict(self.backbone.model.named_parameters())

    def parameters(self) -> list[Group]:
        """Return all parameters of the model."""
        return [Group("all", list(self.weights().values()))]

    def stored_parameters(self) -> int:
        """Return the model's size: one copy serves all tasks."""
        return sum(weight.numel() for weight in self.weights().values())

    def state(self) -> State:
        """Return all weights."""
        return State({name: weight.data for name, weight in self.weights().items()})

    def restore(self, state: State) -> None:
        """Write the weights back in place."""
        for name, weight in self.weights().items():
            weight.data.copy_(state.tensors[name])

    def resume(self, state: State, stage: Stage) -> None:
        """Write the weights back and unfreeze them."""
        self.restore(state)
        self.begin(stage)
