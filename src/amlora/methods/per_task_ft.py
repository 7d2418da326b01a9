"""PerTaskFT: a model of its own for each task, started anew from the pretrained weights."""

from typing import Any

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import Stage, State
from amlora.methods.parts.trainable import TrainableSettings
from amlora.methods.seq_ft import SeqFT


class PerTaskFT(SeqFT):
    """Nothing is forgotten or passed on: what one model per task reaches, if told the task."""

    needs_task_id = True

    def __init__(self, backbone: Backbone, settings: TrainableSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.mixture = None  # LoRAs that are used one at a time make no mixture
        self.pretrained = copied(self.trainable.state())
        self.kept: dict[str, State] = {}  # by task, on the CPU
        self.placed: str | None = None  # the task whose weights the model has; None: pretrained
        self.learning: str | None = None  # the stage's task, whose weights are not kept yet
        self.stored = 0

    def begin(self, stage: Stage) -> None:
        """Start again from the pretrained weights."""
        self.trainable.restore(self.pretrained)
        self.trainable.begin()
        self.placed = self.learning = stage.task
        self.stored += self.trainable.stored_parameters()

    def end(self, stage: Stage) -> None:
        """Keep what was learned."""
        self.kept[stage.task] = copied(self.trainable.state())
        self.learning = None

    def route(self, task: str | None) -> None:
        """Put a task's weights into the model; the pretrained ones for a task not learned yet."""
        assert self.learning is None, "weights that are being trained would be lost"
        wanted = task if task in self.kept else None
        if wanted != self.placed:
            self.trainable.restore(self.pretrained if wanted is None else self.kept[wanted])
            self.placed = wanted

    def stored_parameters(self) -> int:
        """Return the size of all tasks' models or LoRAs."""
        return self.stored

    def state(self) -> State:
        """Return every task's weights, whichever of them the model has just now."""
        held = dict(self.kept)
        if self.learning is not None:
            held[self.learning] = self.trainable.state()
        tensors = {
            f"{index}/{name}": tensor
            for index, state in enumerate(held.values())
            for name, tensor in state.tensors.items()
        }
        values = {
            "tasks": list(held),
            "values": [state.values for state in held.values()],
            "stored": self.stored,
        }
        return State(tensors, values)

    def restore(self, state: State) -> None:
        """Take the kept weights back; the model gets the pretrained ones."""
        self.kept = {
            task: copied(part(state, index))
            for index, task in enumerate(state.value("tasks", list[str]))
        }
        self.stored = state.value("stored", int)
        for kept in self.kept.values():
            self.trainable.restore(kept)  # so that what does not fit is refused now
        self.trainable.restore(self.pretrained)
        self.placed = self.learning = None

    def resume(self, state: State, stage: Stage) -> None:
        """Take them back, and go on with the last, which was being trained."""
        self.restore(state)
        if stage.task not in self.kept:
            raise InputError(f"tasks: {stage.task!r}, which is being learned, is missing.")
        self.trainable.restore(self.kept.pop(stage.task))
        self.trainable.begin()
        self.placed = self.learning = stage.task


def copied(state: State) -> State:
    """Return a state whose tensors are the CPU's own."""
    tensors = {name: tensor.to("cpu", copy=True) for name, tensor in state.tensors.items()}
    return State(tensors, state.values)


def part(state: State, index: int) -> State:
    """Return one task's weights out of the state of all."""
    start = f"{index}/"
    tensors = {n.removeprefix(start): t for n, t in state.tensors.items() if n.startswith(start)}
    values = state.value("values", list[dict[str, Any]])
    if len(values) != len(state.value("tasks", list[str])):
        raise InputError(f"values: there must be one for each task, got {len(values)}.")
    return State(tensors, values[index])
