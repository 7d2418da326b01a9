"""L2P: a pool of soft prompts, of which each text picks its own by learned keys (Wang et al. 2022).

The model is frozen. A query is made of each text without any prompt; the prompts whose keys have
the smallest cosine distance to it are put in front of the text, the nearest first. The loss pulls
the chosen keys towards the query, and nothing else moves keys. arXiv 2112.08654 is about images;
the transfer to language models follows its text and the authors' configurations.

    loss = task + pull * mean over rows of the sum over chosen keys of (1 - cos(query, key))
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, seed_of
from amlora.engine.encode import Row
from amlora.methods.base import Method, ParameterGroup, Stage, Terms
from amlora.methods.parts.prompts import add_prompts, from_vocabulary, in_front
from amlora.settings import Settings

Query = Literal["embedding", "hidden"]
"""See `L2PSettings.query`."""
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
    "hidden", the mean of the frozen model's last hidden states (of the encoder, where there is
    one), nearer to the published class token and one forward pass of each row dearer."""
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
    settings: L2PSettings

    def __init__(self, backbone: Backbone, settings: L2PSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.embedding = add_prompts(backbone)
        self.embedding.vectors = self.vectors
        self.hidden: dict[tuple[int, ...], Tensor] = {}  # queries that took a pass, by token ids
        pool, width = self.settings.pool, self.embedding.weight.shape[1]
        self.prompts: Tensor | None = None  # (pool, length, D); none before the first task
        self.keys = torch.zeros(0)  # (pool, D)
        self.keep_tensors("prompts", (pool, self.settings.length, width))
        self.keep_tensors("keys", (pool, width))
        # How often each prompt was chosen: by earlier tasks, by this one, by the step in progress.
        none = torch.zeros(pool, dtype=torch.int64, device=backbone.model.device)
        self.earlier, self.current, self.step_counts = none, none.clone(), none
        self.keep_tensors("earlier", none)
        self.keep_tensors("current", none)
        self.step_size = 0  # rows of the step in progress

    def vectors(self) -> Tensor:
        """Return the (pool * length, D) vectors of all prompts."""
        return self.embedding.weight[:0] if self.prompts is None else self.prompts.flatten(0, 1)

    def begin(self, stage: Stage) -> None:
        """Make the pool at the first task: prompts of random tokens, keys uniform and short."""
        if self.prompts is None:
            pool, length = self.settings.pool, self.settings.length
            generator = torch.Generator().manual_seed(seed_of(self.seed, stage.index, "pool"))
            start = from_vocabulary(self.embedding, pool * length, generator)
            self.prompts = start.unflatten(0, (pool, length))
            keys = LONGEST_KEY * torch.rand(pool, start.shape[1], generator=generator)
            self.keys = keys.to(start.device)
        self.open(stage)

    def open(self, stage: Stage) -> None:
        """Let the pool learn."""
        assert self.prompts is not None
        self.prompts.requires_grad_(True)
        self.keys.requires_grad_(True)

    def parameters(self) -> list[ParameterGroup]:
        """Return the prompts, and the keys if anything pulls them."""
        assert self.prompts is not None
        groups = [ParameterGroup("prompts", [self.prompts], self.settings.lr)]
        if self.settings.pull:
            groups.append(ParameterGroup("keys", [self.keys], self.settings.lr))
        return groups

    def readable(self, rows: Sequence[Row], *, scoring: bool) -> Sequence[Row]:
        """Put each row's own prompts in front of it, whatever other rows there are.

        Those that are trained on are counted.
        """
        if self.prompts is None:
            return rows
        balanced = self.settings.balance and not scoring
        often = self.earlier.tolist() if balanced else [1] * self.settings.pool
        keys = F.normalize(self.keys.detach(), dim=-1)
        counts = torch.zeros_like(self.earlier)
        longer: list[Row] = []
        for row in rows:
            distances = (1 - keys @ self.query(row.prompt_ids)).tolist()
            nearest = nearest_prompts(distances, often, self.settings.top_k)
            counts[nearest] += 1
            longer += in_front([row], self.embedding.ids(nearest, self.settings.length))
        if not scoring:
            self.step_counts, self.step_size = counts, len(rows)
        return longer

    def soft_tokens(self, tasks: int) -> int:
        """Return the length of the prompts in front of each text."""
        return self.settings.top_k * self.settings.length

    def loss(self, batch: Batch) -> Terms:
        """Add the pull: over the chosen keys of each row 1 - cosine, the mean over the step."""
        terms = super().loss(batch)
        if not self.settings.pull:
            return terms
        length, soft = self.settings.length, self.soft_tokens(1)
        # The first ids of a row, as `readable` returned it, tell what was chosen.
        chosen = [
            [(id - self.embedding.first) // length for id in row.prompt_ids[:soft:length]]
            for row in batch.rows
        ]
        queries = torch.stack([self.query(row.prompt_ids[soft:]) for row in batch.rows])
        # Not a matrix product: autocast would round that to bfloat16.
        cosines = (queries[:, None] * F.normalize(self.keys, dim=-1)).sum(-1)
        taken = cosines.gather(1, torch.tensor(chosen, device=cosines.device))
        terms["pull"] = self.settings.pull * (1 - taken).sum() / self.step_size
        return terms

    def query(self, ids: tuple[int, ...]) -> Tensor:
        """Return what a text asks with, by its token ids: (D,) float32 of length 1, no gradients.

        It depends on the text alone and never on the batch that the text is in: nothing is padded,
        and the model reads one text at a time, without any prompt and without dropout.
        """
        if ids in self.hidden:
            return self.hidden[ids]
        model = self.backbone.model
        # What is made in inference mode could not serve a later training step.
        with torch.inference_mode(False), torch.no_grad():
            read = torch.tensor([ids], device=model.device)
            if self.settings.query == "embedding":
                return mean_direction(self.embedding.base(read))
            with self.backbone.evaluating():
                if self.backbone.family == "encoder-decoder":
                    out = model.get_encoder()(input_ids=read)
                else:
                    out = model.base_model(input_ids=read, use_cache=False)
            self.hidden[ids] = mean_direction(out.last_hidden_state)
        return self.hidden[ids]

    def after_step(self, stage: Stage, step: int, lr: dict[str, float]) -> None:
        """Count what the step chose."""
        self.current = self.current + self.step_counts

    def end(self, stage: Stage) -> None:
        """Count this task among the earlier ones."""
        self.earlier = self.earlier + self.current
        self.current = torch.zeros_like(self.current)

    def stored_parameters(self) -> int:
        """Return the size of prompts and keys."""
        return 0 if self.prompts is None else self.prompts.numel() + self.keys.numel()


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


def mean_direction(vectors: Tensor) -> Tensor:
    """Return the mean (D,) of (1, tokens, D) vectors in float32, scaled to length 1."""
    return F.normalize(vectors[0].float().mean(0), dim=-1)
