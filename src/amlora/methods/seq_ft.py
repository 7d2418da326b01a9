"""SeqFT: all weights trained on one task after the other (de Masson d'Autume et al. 2019)."""

from typing import cast

from amlora.engine.backbone import Backbone
from amlora.methods.base import Group, Method, Stage, State
from amlora.methods.parts.trainable import TrainableSettings, make_trainable
from amlora.settings import Settings as MethodSettings


class SeqFT(Method):
    """No penalty, no memory. How much it forgets depends on the learning rate alone."""

    Settings = TrainableSettings

    def __init__(self, backbone: Backbone, settings: TrainableSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.trainable = make_trainable(backbone, settings, seed=seed)
        self.mixture = self.trainable.mixture

    @classmethod
    def trains_base(cls, settings: MethodSettings) -> bool:
        return cast(TrainableSettings, settings).trainable == "all"

    def begin(self, stage: Stage) -> None:
        """Let everything learn."""
        self.trainable.begin()

    def parameters(self) -> list[Group]:
        """Return all that learns, at one rate."""
        return [Group("all", list(self.trainable.weights().values()))]

    def stored_parameters(self) -> int:
        """Return the size of the model or of the LoRA: one serves all tasks."""
        return self.trainable.stored_parameters()

    def state(self) -> State:
        return self.trainable.state()

    def restore(self, state: State) -> None:
        self.trainable.restore(state)

    def resume(self, state: State, stage: Stage) -> None:
        self.restore(state)
        self.trainable.begin()
