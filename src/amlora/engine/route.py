"""Tell each row's stage or gates from its prompt, and run the model on rows by their routes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.mixture.gates import Gates
from amlora.mixture.route import Belief, Route
from amlora.mixture.stages import Stages


def vector_of(backbone: Backbone, ids: Sequence[int], layers: int = 0) -> Tensor:
    """Return the vector (D) that stages are told apart by; see `vectors_of`."""
    return vectors_of(backbone, ids, (layers,))[0]


def vectors_of(backbone: Backbone, ids: Sequence[int], depths: Sequence[int]) -> list[Tensor]:
    """Return vectors (D) of a prompt: the mean over its tokens, float32, at each of some depths.

    They depend on the prompt alone, never on the answer or on other rows, and on pretrained weights
    alone, so a prompt's vectors stay the same. This is the one place to change for others.

    Args:
        backbone: the model.
        ids: the prompt's.
        depths: 0 for the input embeddings, n for the states after the first n frozen layers.

    Raises:
        InputError: the model has fewer layers, or its states are not finite.
    """
    found = dict.fromkeys(depths, torch.empty(0))
    # With checkpointing, embeddings ask for gradients even here: nothing may leave with them.
    with torch.no_grad():
        if 0 in found:
            embedding = backbone.model.get_input_embeddings()
            found[0] = embedding(torch.tensor(ids, device=backbone.model.device))
        if behind := [depth for depth in found if depth]:
            found.update(zip(behind, states_after(backbone, ids, behind), strict=True))
        vectors = [found[depth].float().mean(0) for depth in depths]
    for depth, vector in zip(depths, vectors, strict=True):
        if not vector.isfinite().all():
            raise InputError(
                f"the model: a prompt's states after {depth} layers are not finite in"
                f" {backbone.model.dtype}; load it in bfloat16 or float32."
            )
    return vectors


REMEMBERED = 4_000_000
"""Tokens; a model that is served for long would otherwise remember all that it was ever asked."""


class Router:
    """The routes of prompts, remembered until another stage ends; gates must be frozen."""

    def __init__(self, backbone: Backbone, stages: Stages | Gates) -> None:
        self.backbone = backbone
        self.stages = stages
        self.layers = stages.settings.feature_layers if isinstance(stages, Stages) else 0
        self.found: dict[tuple[int, ...], tuple[Route | None, Belief | None]] = {}
        self.tokens = 0  # of the prompts in `found`
        self.ended = 0  # stages when `found` was begun

    def route(self, ids: tuple[int, ...]) -> Route | None:
        """Return the weights of a prompt's stages, or its gates; None before there are any."""
        return self.read(ids)[0]

    def read(self, ids: tuple[int, ...]) -> tuple[Route | None, Belief | None]:
        """Return a prompt's route, and what it was chosen by; gates are chosen by no belief."""
        if self.ended != len(self.stages) or self.tokens >= REMEMBERED:
            self.found.clear()
            self.tokens, self.ended = 0, len(self.stages)
        if ids not in self.found:
            self.tokens += len(ids)
            vector, stages = vector_of(self.backbone, ids, self.layers), self.stages
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
    """Ends a forward pass at the last layer that is wanted."""


def states_after(backbone: Backbone, ids: Sequence[int], depths: Sequence[int]) -> list[Tensor]:
    """Return a prompt's states (tokens, D) after so many of the first layers, for each of `depths`.

    One forward pass, in eval mode, which ends at the deepest.

    Args:
        backbone: its adapted layers, if any, must ask `backbone.routing`, as LoRA methods' do.
        ids: the prompt's, without padding.
        depths: each from 1 to the number of layers.

    Raises:
        InputError: the model has fewer layers.
    """
    stack, deepest = first_stack(backbone), max(depths)
    layers = layers_of(stack)
    if deepest > len(layers):
        raise InputError(
            f"method.feature_layers: {backbone.name!r} reads a prompt with {len(layers)} layers,"
            f" got {deepest}."
        )
    found: dict[int, Tensor] = {}

    def keep(depth: int, out: Any) -> None:
        found[depth] = (out[0] if isinstance(out, tuple) else out)[0]
        if depth == deepest:
            raise Reached

    hooks = [
        layers[depth - 1].register_forward_hook(lambda _, __, out, depth=depth: keep(depth, out))
        for depth in set(depths)
    ]
    device = backbone.model.device
    try:
        with (
            torch.no_grad(),
            backbone.evaluating(),
            backbone.routing.of([BASE_ALONE], device),
        ):
            stack(input_ids=torch.tensor([ids], device=device))
    except Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return [found[depth] for depth in depths]


def first_stack(backbone: Backbone) -> nn.Module:
    """Return the module that reads the prompt: the encoder, or the decoder where it is alone."""
    if backbone.family == "encoder-decoder":
        return backbone.model.get_encoder()
    return backbone.model.get_decoder()


def layers_of(stack: nn.Module) -> nn.ModuleList:
    """Return a stack's layers: its first list of modules, as in every transformers model so far."""
    return next(module for module in stack.modules() if isinstance(module, nn.ModuleList))
