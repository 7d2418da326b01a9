"""The states of a prompt behind the first frozen layers, without LoRAs.

They depend on the prompt and the pretrained model alone, so they stay the same whatever is learned.
An encoder-decoder model's are its encoder's, a decoder-only model's its decoder's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.errors import InputError

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
