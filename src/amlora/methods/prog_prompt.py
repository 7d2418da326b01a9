"""Progressive Prompts: a soft prompt per task before those of earlier tasks (Razdaibiedina 2023).

The model is frozen. For task k it reads [P_k, P_{k-1}, ..., P_1, text]; P_k alone is trained. An
answer on a task is read with the prompts that existed when it was learned, so nothing is ever
forgotten, and the task must be known.
"""

from collections.abc import Sequence

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import seed_of
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.methods.base import Group, Method, Stage, State
from amlora.methods.parts.prompts import add_prompts, from_vocabulary, in_front
from amlora.settings import Settings

BOTTLENECK = 800
"""The authors' default."""
NETWORK = "network."
"""Prefix of the network's weights in a state."""


class ProgPromptSettings(Settings):
    """The prompts (arXiv 2301.12314 and the authors' code)."""

    length: PositiveInt = 10
    """Vectors of each task's prompt (the authors' README)."""
    lr: PositiveFloat | None = None
    """The prompt's learning rate; None for `train.lr`. The authors use 0.3 with T5."""
    reparameterise: bool = False
    """Learn P + network(P) in the place of P, with a network of the task's own that is folded into
    the prompt afterwards (residual reparameterisation; off by default in the authors' code)."""
    bottleneck: PositiveInt | None = None
    """Hidden units of that network; None for 800, as the authors have it."""

    def check(self) -> None:
        """Refuse what would have no effect."""
        if self.bottleneck is not None and not self.reparameterise:
            raise ValueError("bottleneck has no effect unless reparameterise is true.")


class ProgPrompt(Method):
    """Frozen prompts can be read by later tasks, and not be changed by them."""

    needs_task_id = True
    Settings = ProgPromptSettings

    def __init__(self, backbone: Backbone, settings: ProgPromptSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.options = settings
        self.embedding = add_prompts(backbone)
        self.embedding.vectors = self.vectors
        self.prompts: dict[str, nn.Parameter] = {}  # (length, D) by task, oldest first
        self.network: nn.Module | None = None  # of the newest prompt, while it is trained
        self.read = 0  # how many prompts, the oldest, rows are read with

    def vectors(self) -> Tensor:
        """Return the vectors of all prompts, oldest first, the newest through its network."""
        if not self.prompts:
            return self.embedding.weight[:0]
        return torch.cat([*list(self.prompts.values())[:-1], self.newest()])

    def newest(self) -> Tensor:
        """Return the newest prompt as the model reads it."""
        *_, prompt = self.prompts.values()
        if self.network is None:
            return prompt
        # Under autocast it would be read otherwise than it is folded.
        with torch.autocast(prompt.device.type, enabled=False):
            return prompt + self.network(prompt)

    def begin(self, stage: Stage) -> None:
        """Add a prompt that starts as random tokens, and let it alone learn."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, stage.index, "prompt"))
        start = from_vocabulary(self.embedding, self.options.length, generator)
        self.prompts[stage.task] = nn.Parameter(start)
        self.learn_newest(stage)

    def learn_newest(self, stage: Stage) -> None:
        """Freeze earlier prompts, and give the newest its network if it has one."""
        *earlier, newest = self.prompts.values()
        for prompt in earlier:
            prompt.requires_grad_(False)
        newest.requires_grad_(True)
        self.read = len(self.prompts)
        if self.options.reparameterise:
            torch.manual_seed(seed_of(self.seed, stage.index, "network"))
            hidden = self.options.bottleneck or BOTTLENECK
            self.network = residual_network(newest.shape[1], hidden).to(newest.device)

    def parameters(self) -> list[Group]:
        """Return the newest prompt and its network."""
        *_, newest = self.prompts.values()
        network = [] if self.network is None else list(self.network.parameters())
        return [Group("prompt", [newest, *network], self.options.lr)]

    def before_step(self, stage: Stage, step: int) -> None:
        """Read all prompts, whatever task was scored last."""
        self.read = len(self.prompts)

    def readable(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Put the newest of the prompts that are read first, the oldest next to the text."""
        length = self.options.length
        firsts = [self.embedding.first + i * length for i in reversed(range(self.read))]
        ids = [first + i for first in firsts for i in range(length)]
        return in_front(rows, ids)

    def soft_tokens(self, tasks: int) -> int:
        """Return the length of all prompts: each task adds one."""
        return tasks * self.options.length

    def end(self, stage: Stage) -> None:
        """Fold the network into the prompt, and freeze it."""
        with torch.no_grad():
            folded = self.newest().clone()
        self.prompts[stage.task] = nn.Parameter(folded, requires_grad=False)
        self.network = None

    def route(self, task: str | None) -> None:
        """Read the prompts that were there when a task was learned; all, if it was not.

        Without a task none is read: the base model answers.
        """
        names = list(self.prompts)
        known = names.index(task) + 1 if task in self.prompts else len(names)
        self.read = 0 if task is None else known

    def stored_parameters(self) -> int:
        """Return the size of all prompts, networks folded in."""
        return sum(prompt.numel() for prompt in self.prompts.values())

    def state(self) -> State:
        """Return all prompts and, within a stage, the network."""
        tensors = {f"prompt.{i}": p.detach() for i, p in enumerate(self.prompts.values())}
        if self.network is not None:
            tensors |= {NETWORK + name: w for name, w in self.network.state_dict().items()}
        return State(tensors, {"tasks": list(self.prompts)})

    def restore(self, state: State) -> None:
        """Take the prompts back, frozen."""
        device = self.backbone.model.device
        shape = self.options.length, self.embedding.weight.shape[1]
        self.network = None
        self.prompts = {
            task: nn.Parameter(
                state.take(f"prompt.{i}", shape).to(device, copy=True), requires_grad=False
            )
            for i, task in enumerate(state.value("tasks", list[str]))
        }
        self.read = len(self.prompts)

    def resume(self, state: State, stage: Stage) -> None:
        """Take the prompts back, and the newest with its network to learn on."""
        self.restore(state)
        if [*self.prompts][-1:] != [stage.task]:
            raise InputError(f"tasks: the newest prompt must be of {stage.task!r}.")
        self.learn_newest(stage)
        if self.network is not None:
            self.network.load_state_dict(
                {
                    name: state.take(NETWORK + name, tuple(weight.shape), weight.dtype)
                    for name, weight in self.network.state_dict().items()
                }
            )


def residual_network(width: int, hidden: int) -> nn.Module:
    """Return the published network: two linear maps with a ReLU between, a layer norm at the end.

    Args:
        width: D of the model's input embedding.
        hidden: units between the two maps.
    """
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.LayerNorm(width)
    )
