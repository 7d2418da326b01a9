"""Second moments of the inputs of adapted layers over some rows."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, length, token_masks
from amlora.engine.encode import Row
from amlora.engine.route import by_routes
from amlora.mixture.inject import input_side
from amlora.mixture.layer import MixtureLinear

BATCH = 8
"""Rows in one forward pass."""


class Moments:
    """The sum of x x^T over the inputs that one layer was given, padding left out."""

    def __init__(self, side: str, width: int, masks: Mapping[str, Tensor]) -> None:
        self.side = side
        self.masks = masks
        """(rows, tokens) of the batch that is run, by side: 1 where a token counts."""
        self.total = torch.zeros(width, width, dtype=torch.float64)
        self.tokens = 0

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the input (rows, tokens, D_in) of a module that is about to run."""
        mask = self.masks[self.side].to(torch.bool).reshape(-1)
        # Some models flatten rows and tokens before a layer.
        x = inputs[0].detach().reshape(-1, inputs[0].shape[-1])[mask]
        # Products of float32 would give directions to rounding that nothing uses.
        x = x.double()
        self.total = self.total.to(x.device) + x.T @ x
        self.tokens += len(x)

    def mean(self) -> Tensor:
        """Return (D_in, D_in) float64 on the CPU; zeros for a layer that no text passes through."""
        return self.total.cpu() / max(1, self.tokens)


def second_moments(
    backbone: Backbone, layers: Mapping[str, MixtureLinear], rows: Sequence[Row]
) -> dict[str, Tensor]:
    """Run rows, prompt and right answer, through the model as it is now, without dropout.

    Args:
        backbone: the model; its mode is as before afterwards.
        layers: adapted layers by name.
        rows: at least one; answered by their routes.

    Returns:
        By layer, (D_in, D_in) float64 on the CPU: the mean of x x^T over all tokens of all rows.
    """
    model = backbone.model
    training = model.training
    masks: dict[str, Tensor] = {}
    found = {
        name: Moments(input_side(name), layer.bank.a.shape[1], masks)
        for name, layer in layers.items()
    }
    hooks = [layer.register_forward_pre_hook(found[name].add) for name, layer in layers.items()]
    ordered = sorted(rows, key=length)
    model.eval()
    try:
        for i in range(0, len(ordered), BATCH):
            batch = collate(ordered[i : i + BATCH], backbone, share=1.0)
            masks.update(token_masks(backbone, batch))
            with torch.no_grad(), backbone.arithmetic(), by_routes(backbone, batch.rows):
                model(**batch.inputs, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return {name: moments.mean() for name, moments in found.items()}
