"""Progressive Prompts: a soft prompt per task before those of earlier tasks (Razdaibiedina 2023).

The model is frozen. For task k it reads [P_k, P_{k-1}, ..., P_1, text]; P_k alone is trained. An
answer on a task is read with the prompts that existed when it was learned, so nothing is ever
forgotten, and the task must be known.
"""

from collections.abc import Sequence

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.func import functional_call

from amlora.engine.backbone import Backbone
from amlora.engine.batch import seed_of
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.methods.base import Method, ParameterGroup, Stage, State
from amlora.methods.parts.prompts import add_prompts, from_vocabulary, in_front
from amlora.settings import Settings


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
    settings: ProgPromptSettings

    def __init__(self, backbone: Backbone, settings: ProgPromptSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.embedding = add_prompts(backbone)
        self.embedding.vectors = self.vectors
        self.tasks: list[str] = []  # oldest first
        self.prompts: dict[str, Tensor] = {}  # (length, D) by task
        self.network: dict[str, Tensor] = {}  # of the newest prompt, while it is trained
        self.read = 0  # how many prompts, the oldest, rows are read with
        with torch.device("meta"):
            self.form = self.new_network()
        shape = self.settings.length, self.embedding.weight.shape[1]
        self.keep_value("tasks", list[str])
        self.keep_tensors("prompts", lambda: dict.fromkeys(self.tasks, shape))
        self.keep_tensors("network", lambda: dict(self.form.named_parameters()), optional=True)

    def new_network(self) -> nn.Module:
        """Return the published network: two linear maps, a ReLU between, and a layer norm."""
        width, hidden = self.embedding.weight.shape[1], self.settings.bottleneck or 800
        return nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.LayerNorm(width)
        )

    def vectors(self) -> Tensor:
        """Return the vectors of all prompts, oldest first, the newest through its network."""
        if not self.tasks:
            return self.embedding.weight[:0]
        return torch.cat([*[self.prompts[task] for task in self.tasks[:-1]], self.newest()])

    def newest(self) -> Tensor:
        """Return the newest prompt as the model reads it."""
        prompt = self.prompts[self.tasks[-1]]
        if not self.network:
            return prompt
        # Under autocast it would be read otherwise than it is folded.
        with torch.autocast(prompt.device.type, enabled=False):
            return prompt + functional_call(self.form, self.network, prompt)

    def begin(self, stage: Stage) -> None:
        """Add a prompt that starts as random tokens, and its network if it has one."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, stage.index, "prompt"))
        prompt = from_vocabulary(self.embedding, self.settings.length, generator)
        self.tasks.append(stage.task)
        self.prompts[stage.task] = prompt
        if self.settings.reparameterise:
            torch.manual_seed(seed_of(self.seed, stage.index, "network"))
            self.network = dict(self.new_network().to(prompt.device).state_dict())
        self.open(stage)

    def open(self, stage: Stage) -> None:
        """Let the newest prompt alone learn, with its network.

        Raises:
            InputError: what was stored is of another stage.
        """
        if self.tasks[-1:] != [stage.task]:
            raise InputError(f"tasks: the newest prompt must be of {stage.task!r}.")
        if self.settings.reparameterise and not self.network:
            raise InputError("network: missing from the stored state.")
        for weight in (self.prompts[stage.task], *self.network.values()):
            weight.requires_grad_(True)
        self.read = len(self.tasks)

    def parameters(self) -> list[ParameterGroup]:
        """Return the newest prompt and its network."""
        learning = [self.prompts[self.tasks[-1]], *self.network.values()]
        return [ParameterGroup("prompt", learning, self.settings.lr)]

    def readable(self, rows: Sequence[Row], *, scoring: bool) -> Sequence[Row]:
        """Put the newest of the prompts that are read first, the oldest next to the text.

        Training reads all prompts, whatever task was scored last.
        """
        read = reversed(range(self.read if scoring else len(self.tasks)))
        return in_front(rows, self.embedding.ids(read, self.settings.length))

    def soft_tokens(self, tasks: int) -> int:
        """Return the length of all prompts: each task adds one."""
        return tasks * self.settings.length

    def end(self, stage: Stage) -> None:
        """Fold the network into the prompt, and freeze it."""
        with torch.no_grad():
            self.prompts[stage.task] = self.newest().clone()
        self.network = {}

    def route(self, task: str | None) -> None:
        """Read the prompts that were there when a task was learned; all, if it was not.

        Without a task none is read: the base model answers.
        """
        known = self.tasks.index(task) + 1 if task in self.tasks else len(self.tasks)
        self.read = 0 if task is None else known

    def stored_parameters(self) -> int:
        """Return the size of all prompts, networks folded in."""
        return sum(prompt.numel() for prompt in self.prompts.values())

    def restore(self, state: State) -> None:
        """Take the prompts back, and read them all."""
        super().restore(state)
        self.read = len(self.tasks)
