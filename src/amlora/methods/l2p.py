"""L2P: a pool of soft prompts, of which each text picks its own by learned keys (Wang et al. 2022).

The model is frozen. A query is made of each text without any prompt; the prompts whose keys have
the smallest cosine distance to it are put in front of the text, the nearest first. The loss pulls
the chosen keys towards the query, and nothing else moves keys. arXiv 2112.08654 is about images;
the transfer to language models follows its text and the authors' configurations.
"""

from collections.abc import Sequence

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, seed_of
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.methods.base import Group, Method, Stage, State, Terms
from amlora.methods.parts.prompts import add_prompts, from_vocabulary, in_front
from amlora.methods.parts.queries import Queries, Query
from amlora.settings import Settings

LONGEST_KEY = 0.01
"""Keys start uniform between 0 and this, as in the official code: short ones soon turn."""


class L2PSettings(Settings):
    """The pool and its use; sizes as in the paper, the weight as in the port to PyTorch."""

    pool: PositiveInt = 10
    """Prompts in the pool (M)."""
    length: PositiveInt = 5
    """Vectors of each prompt."""
    top_k: PositiveInt = 5
    """Prompts in front of each text (N); the TRACE benchmark's port to language models has 3."""
    pull: NonNegativeFloat = 0.1
    """Weight of the term that pulls chosen keys towards the query; 0: keys stay as they started."""
    query: Query = "embedding"
    """What a text asks with: "embedding", the mean of its input embeddings, as in TRACE's port; or
    "hidden", the mean of the frozen model's last hidden states, nearer to the published class token
    and one forward pass of each row dearer."""
    balance: bool = False
    """While training, multiply each prompt's distance by how often earlier tasks chose it (the
    paper's optional diversifying of the selection)."""
    lr: PositiveFloat | None = None
    """Learning rate of prompts and keys; None for `train.lr`. The official configuration: 0.03."""

    def check(self) -> None:
        """Refuse more prompts than there are."""
        if self.top_k > self.pool:
            raise ValueError(f"top_k must be at most pool, {self.pool}, got {self.top_k}.")


class L2P(Method):
    """Similar texts share prompts, so that other texts' prompts are left alone."""

    version = 2  # 1 had keys a hundred times as long, which hardly turned
    Settings = L2PSettings

    def __init__(self, backbone: Backbone, settings: L2PSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.options = settings
        self.embedding = add_prompts(backbone)
        self.embedding.vectors = self.vectors
        self.queries = Queries(backbone, self.embedding, self.options.query)
        self.prompts: nn.Parameter | None = None  # (pool, length, D); none before the first task
        self.keys = nn.Parameter(torch.zeros(0))  # (pool, D)
        self.earlier = [0] * self.options.pool  # how often earlier tasks chose each prompt
        self.current = [0] * self.options.pool  # how often this one did, step after step
        self.step_counts: list[int] | None = None  # of the step in progress; None outside of one
        self.step_size = 0  # rows of the step in progress

    def vectors(self) -> Tensor:
        """Return the (pool * length, D) vectors of all prompts."""
        if self.prompts is None:
            return self.embedding.weight[:0]
        return self.prompts.flatten(0, 1)

    def begin(self, stage: Stage) -> None:
        """Make the pool at the first task: prompts of random tokens, keys uniform and short."""
        if self.prompts is None:
            options = self.options
            generator = torch.Generator().manual_seed(seed_of(self.seed, stage.index, "pool"))
            start = from_vocabulary(self.embedding, options.pool * options.length, generator)
            self.prompts = nn.Parameter(start.unflatten(0, (options.pool, options.length)))
            keys = LONGEST_KEY * torch.rand(options.pool, start.shape[1], generator=generator)
            self.keys = nn.Parameter(keys.to(start.device))

    def parameters(self) -> list[Group]:
        """Return the prompts, and the keys if anything pulls them."""
        assert self.prompts is not None
        groups = [Group("prompts", [self.prompts], self.options.lr)]
        if self.options.pull:
            groups.append(Group("keys", [self.keys], self.options.lr))
        return groups

    def before_step(self, stage: Stage, step: int) -> None:
        """From here to `after_step` rows are chosen for as training does it, and counted."""
        self.step_counts = [0] * self.options.pool

    def step_rows(self, stage: Stage, step: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Note how many rows the step has over all micro-batches and processes."""
        self.step_size = len(rows)
        return rows

    def readable(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Put each row's own prompts in front of it, whatever other rows there are."""
        if self.prompts is None:
            return rows
        keys = F.normalize(self.keys.detach(), dim=-1)
        longer: list[Row] = []
        for row in rows:
            distances = (1 - keys @ self.queries(row.prompt_ids)).tolist()
            longer += in_front([row], self.ids_of(self.chosen(distances)))
        return longer

    def soft_tokens(self, tasks: int) -> int:
        """Return the length of the prompts in front of each text."""
        return self.options.top_k * self.options.length

    def chosen(self, distances: Sequence[float]) -> list[int]:
        """Return the prompts for one row, and count them while a step is in progress.

        Args:
            distances: 1 - cosine of each key and the row's query.
        """
        balanced = self.options.balance and self.step_counts is not None
        frequencies = self.earlier if balanced else [1] * self.options.pool
        nearest = nearest_prompts(distances, frequencies, self.options.top_k)
        if self.step_counts is not None:
            for prompt in nearest:
                self.step_counts[prompt] += 1
        return nearest

    def ids_of(self, prompts: Sequence[int]) -> list[int]:
        """Return the token ids of some prompts' vectors."""
        length = self.options.length
        firsts = [self.embedding.first + prompt * length for prompt in prompts]
        return [first + i for first in firsts for i in range(length)]

    def loss(self, batch: Batch) -> Terms:
        """Add the pull: over the chosen keys of each row 1 - cosine, the mean over the step."""
        terms = super().loss(batch)
        if self.options.pull:
            terms["pull"] = self.options.pull * self.pull(batch.rows) / self.step_size
        return terms

    def pull(self, rows: Sequence[Row]) -> Tensor:
        """Return the sum over rows and their chosen keys of 1 - cosine of query and key.

        Args:
            rows: as `readable` returned them; their first ids tell what was chosen.
        """
        length, count = self.options.length, self.options.top_k
        soft = length * count
        chosen = [
            [(id - self.embedding.first) // length for id in row.prompt_ids[:soft:length]]
            for row in rows
        ]
        queries = torch.stack([self.queries(row.prompt_ids[soft:]) for row in rows])
        # Not a matrix product: autocast would round that to bfloat16.
        cosines = (queries[:, None] * F.normalize(self.keys, dim=-1)).sum(-1)
        taken = cosines.gather(1, torch.tensor(chosen, device=cosines.device))
        return (1 - taken).sum()

    def after_step(self, stage: Stage, step: int, lr: dict[str, float]) -> None:
        """Count what the step chose."""
        assert self.step_counts is not None
        self.current = added(self.current, self.step_counts)
        self.step_counts = None

    def end(self, stage: Stage) -> None:
        """Count this task among the earlier ones."""
        self.earlier = added(self.earlier, self.current)
        self.current = [0] * self.options.pool

    def stored_parameters(self) -> int:
        """Return the size of prompts and keys."""
        return 0 if self.prompts is None else self.prompts.numel() + self.keys.numel()

    def state(self) -> State:
        """Return the pool and how often each prompt was chosen."""
        counts = {"earlier": self.earlier, "current": self.current}
        if self.prompts is None:
            return State({}, counts)
        return State({"prompts": self.prompts.detach(), "keys": self.keys.detach()}, counts)

    def restore(self, state: State) -> None:
        """Take the pool and the counts back."""
        device, width = self.backbone.model.device, self.embedding.weight.shape[1]
        pool, length = self.options.pool, self.options.length
        prompts = state.take("prompts", (pool, length, width))
        self.prompts = nn.Parameter(prompts.to(device, copy=True))
        self.keys = nn.Parameter(state.take("keys", (pool, width)).to(device, copy=True))
        self.earlier, self.current = (state.value(n, list[int]) for n in ("earlier", "current"))
        if not len(self.earlier) == len(self.current) == pool:
            raise InputError(f"earlier: there must be a count for each of {pool} prompts.")

    def resume(self, state: State, stage: Stage) -> None:
        """Take them back; they learn on as they are."""
        self.restore(state)


def nearest_prompts(
    distances: Sequence[float], frequencies: Sequence[int], count: int
) -> list[int]:
    """Return the prompts of the smallest distance times frequency, best first.

    Where that is equal, as it is for all prompts that were never chosen, the smaller distance comes
    first, and then the smaller number.
    """
    pairs = zip(distances, frequencies, strict=True)
    ranked = sorted((d * f, d, prompt) for prompt, (d, f) in enumerate(pairs))
    return [prompt for *_, prompt in ranked[:count]]


def added(ones: Sequence[int], others: Sequence[int]) -> list[int]:
    """Return the sums of two lists, place by place."""
    return [a + b for a, b in zip(ones, others, strict=True)]
