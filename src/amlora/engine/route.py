"""Tell each row's stage or gates from its prompt, and run the model on rows by their routes."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.chat import turn_of
from amlora.engine.encode import Row, encode_prompts
from amlora.errors import InputError
from amlora.mixture.gates import Gates
from amlora.mixture.route import Belief, Route
from amlora.mixture.stages import Stages, StageSettings, Tokens
from amlora.streams.prompt import Prompt


def vector_of(
    backbone: Backbone, ids: Sequence[int], layers: int = 0, tokens: Tokens = "mean"
) -> Tensor:
    """Return the vector (D) that a prompt's stage is told by: its tokens' mean, float32.

    It depends on the prompt alone, never on the answer or on other rows, and on pretrained weights
    alone, so it stays the same. This is the one place to change for another.

    Args:
        backbone: the model.
        ids: the prompt's.
        layers: 0 for the input embeddings, n for the states after the first n frozen layers.
        tokens: "root" for a mean in which a token that stands n times counts as its square root, so
            that what stands everywhere drowns less of what does not.

    Raises:
        InputError: the model has fewer layers, or its states are not finite.
    """
    # With checkpointing, embeddings ask for gradients even here: nothing may leave with them.
    with torch.no_grad():
        if layers:
            states = states_after(backbone, ids, layers)
        else:
            embedding = backbone.model.get_input_embeddings()
            states = embedding(torch.tensor(ids, device=backbone.model.device))
        if tokens == "root":
            vector = shares_of(ids).to(states.device) @ states.float()
        else:
            vector = states.float().mean(0)
    if not vector.isfinite().all():
        raise InputError(
            f"the model: a prompt's states after {layers} layers are not finite in"
            f" {backbone.model.dtype}; load it in bfloat16 or float32."
        )
    return vector


def shares_of(ids: Sequence[int]) -> Tensor:
    """Return what each of some tokens counts: one over the root of how often it stands there."""
    counts = Counter(ids)
    weights = torch.tensor([counts[token] ** -0.5 for token in ids])
    return weights / weights.sum()


class Reader:
    """Reads prompts as a statistic wants them read."""

    def __init__(self, backbone: Backbone, settings: StageSettings) -> None:
        self.backbone = backbone
        self.settings = settings
        self.turn = turn_of(backbone.tokenizer) if settings.words == "any" else None

    def vector(self, ids: Sequence[int]) -> Tensor:
        """Return the vector (D) of a prompt; in any words that of a chat's last question."""
        own = ids if self.turn is None else self.turn.last(ids)
        return vector_of(self.backbone, own, self.settings.feature_layers, self.settings.tokens)

    def vectors(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Return the vectors (prompts, D) of prompts, at least one."""
        return torch.stack([self.vector(ids) for ids in prompts])

    def lesson(self, prompts: Sequence[Sequence[int]], texts: Sequence[str]) -> Tensor:
        """Return what a stage is told by, as `Stages.add` takes it.

        Args:
            prompts: ids of training prompts, at least one.
            texts: theirs, without any words around; a blank one counts as its prompt.

        Returns:
            (prompts, D); in any words (prompts, 2, D), the prompts' and the bare texts' vectors.
        """
        asked = self.vectors(prompts)
        if self.settings.words == "asked":
            return asked
        read = [place for place, text in enumerate(texts) if text.strip()]
        bare = asked.clone()
        found = encode_prompts(self.backbone, [Prompt("", texts[place], "") for place in read])
        for place, (ids, _) in zip(read, found, strict=True):
            bare[place] = self.vector(ids)
        return torch.stack([asked, bare], 1)


REMEMBERED = 4_000_000
"""Tokens; a model that is served for long would otherwise remember all that it was ever asked."""


class Router:
    """The routes of prompts, remembered until stages change; gates must be frozen."""

    def __init__(self, backbone: Backbone, stages: Stages | Gates) -> None:
        self.backbone = backbone
        self.stages = stages
        self.reader = Reader(backbone, stages.settings) if isinstance(stages, Stages) else None
        self.found: dict[tuple[int, ...], tuple[Route | None, Belief | None]] = {}
        self.tokens = 0  # of the prompts in `found`
        self.begun = -1  # how often stages had changed when `found` was begun

    def vector(self, ids: Sequence[int]) -> Tensor:
        """Return the vector (D) that a prompt's route is told by."""
        return vector_of(self.backbone, ids) if self.reader is None else self.reader.vector(ids)

    def route(self, ids: tuple[int, ...]) -> Route | None:
        """Return the weights of a prompt's stages, or its gates; None before there are any."""
        return self.read(ids)[0]

    def read(self, ids: tuple[int, ...]) -> tuple[Route | None, Belief | None]:
        """Return a prompt's route, and what it was chosen by; gates are chosen by no belief."""
        stages = self.stages
        changes = stages.changes if isinstance(stages, Stages) else len(stages)
        if self.begun != changes or self.tokens >= REMEMBERED:
            self.found.clear()
            self.tokens, self.begun = 0, changes
        if ids not in self.found:
            self.tokens += len(ids)
            vector = self.vector(ids)
            if isinstance(stages, Gates):
                self.found[ids] = stages.route(vector), None
            else:
                belief = stages.belief(vector)
                self.found[ids] = belief and stages.weights(belief), belief
        return self.found[ids]

    def routed(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows with the routes of their prompts."""
        read = [self.read(row.prompt_ids) for row in rows]
        return [
            replace(row, route=route, belief=belief)
            for row, (route, belief) in zip(rows, read, strict=True)
        ]


def by_routes(backbone: Backbone, rows: Sequence[Row]) -> AbstractContextManager[None]:
    """Return the context in which the model answers rows by their routes."""
    return backbone.routing.of([row.route for row in rows], backbone.model.device)


BASE_ALONE = (1.0,)
"""The route to stage 0: all adapted layers answer as if nothing had been learned."""


class Reached(Exception):
    """Ends a forward pass, with the states that it has reached."""


def states_after(backbone: Backbone, ids: Sequence[int], depth: int) -> Tensor:
    """Return a prompt's states (tokens, D) after the first `depth` layers, in eval mode.

    Args:
        backbone: its adapted layers, if any, must ask `backbone.routing`, as LoRA methods' do.
        ids: the prompt's, without padding.
        depth: from 1 to the number of layers.

    Raises:
        InputError: the model has fewer layers.
    """
    stack = first_stack(backbone)
    layers, device = layers_of(stack), backbone.model.device
    if depth > len(layers):
        raise InputError(
            f"method.feature_layers: {backbone.name!r} reads a prompt with {len(layers)} layers,"
            f" got {depth}."
        )

    def stop(_: nn.Module, __: object, out: Any) -> None:
        raise Reached((out[0] if isinstance(out, tuple) else out)[0])

    hook = layers[depth - 1].register_forward_hook(stop)
    try:
        with torch.no_grad(), backbone.evaluating(), backbone.routing.of([BASE_ALONE], device):
            stack(input_ids=torch.tensor([ids], device=device))
    except Reached as reached:
        return reached.args[0]
    finally:
        hook.remove()
    raise AssertionError("a stack runs all of its layers")


def first_stack(backbone: Backbone) -> nn.Module:
    """Return the module that reads the prompt: the encoder, or the decoder where it is alone."""
    if backbone.family == "encoder-decoder":
        return backbone.model.get_encoder()
    return backbone.model.get_decoder()


def layers_of(stack: nn.Module) -> nn.ModuleList:
    """Return a stack's layers: its first list of modules, as in every transformers model so far."""
    return next(module for module in stack.modules() if isinstance(module, nn.ModuleList))
