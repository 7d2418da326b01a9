"""PerTaskFT: a model of its own for each task, started anew from the pretrained weights."""

from typing import Any

from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import Stage, State
from amlora.methods.seq_ft import SeqFT, TrainableSettings


class PerTaskFT(SeqFT):
    """Nothing is forgotten or passed on: what one model per task reaches, if told the task."""

    needs_task_id = True

    def __init__(self, backbone: Backbone, settings: TrainableSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.mixture = None  # LoRAs that are used one at a time make no mixture
        self.remembered.remove(self.trainable)  # but each task's weights
        self.pretrained = copied(self.trainable.state())
        self.models: dict[str, State] = {}  # by task, on the CPU
        self.placed: str | None = None  # the task whose weights the model has; None: pretrained
        self.learning = False  # whether these are being trained, and are not kept yet
        self.stored = 0
        self.keep_value("stored", int)

    def begin(self, stage: Stage) -> None:
        """Start again from the pretrained weights."""
        self.place(stage.task, self.pretrained)
        super().begin(stage)
        self.stored += self.trainable.stored_parameters()

    def place(self, task: str | None, model: State) -> None:
        """Put weights into the model."""
        self.trainable.restore(model)
        self.placed = task

    def open(self, stage: Stage) -> None:
        """Let the weights learn."""
        super().open(stage)
        self.learning = True

    def end(self, stage: Stage) -> None:
        """Keep what was learned."""
        self.models[stage.task] = copied(self.trainable.state())
        self.learning = False

    def route(self, task: str | None) -> None:
        """Put a task's weights into the model; the pretrained ones for a task not learned yet."""
        assert not self.learning, "weights that are being trained would be lost"
        wanted = task if task in self.models else None
        if wanted != self.placed:
            self.place(wanted, self.pretrained if wanted is None else self.models[wanted])

    def stored_parameters(self) -> int:
        """Return the size of all tasks' models or LoRAs."""
        return self.stored

    def state(self) -> State:
        """Return every task's weights, whichever of them the model has just now."""
        state, models = super().state(), dict(self.models)
        if self.placed is not None and self.learning:
            models[self.placed] = self.trainable.state()
        for index, model in enumerate(models.values()):
            state.tensors |= {f"{index}/{name}": each for name, each in model.tensors.items()}
        state.values["models"] = [[task, model.values] for task, model in models.items()]
        return state

    def restore(self, state: State) -> None:
        """Take every task's weights back; the model gets the pretrained ones."""
        super().restore(state)
        models = state.value("models", list[tuple[str, dict[str, Any]]])
        tensors: dict[str, dict[str, Tensor]] = {}
        for name, tensor in state.tensors.items():
            index, _, name = name.partition("/")
            tensors.setdefault(index, {})[name] = tensor
        self.models = {
            task: copied(State(tensors.get(str(index), {}), values))
            for index, (task, values) in enumerate(models)
        }
        for model in self.models.values():
            self.trainable.restore(model)  # so that what does not fit is refused now
        self.place(None, self.pretrained)
        self.learning = False

    def resume(self, state: State, stage: Stage) -> None:
        """Take them back, and go on with those that were being trained."""
        self.restore(state)
        if stage.task not in self.models:
            raise InputError(f"models: {stage.task!r}, which is being learned, is missing.")
        self.place(stage.task, self.models.pop(stage.task))
        self.open(stage)


def copied(state: State) -> State:
    """Return a state whose tensors are the CPU's own."""
    tensors = {name: tensor.to("cpu", copy=True) for name, tensor in state.tensors.items()}
    return State(tensors, state.values)
