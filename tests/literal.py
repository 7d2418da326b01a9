"""The model's answer to one row, one token at a time, without padding, packing or a cache."""

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row


def next_logits(
    backbone: Backbone, row: Row, answered: int, model: nn.Module | None = None
) -> Tensor:
    """Return the (vocabulary) logits of the token that follows so many of the gold answer's.

    Args:
        backbone: gives family and start token, and the model unless there is another.
        row: as the model reads it.
        answered: tokens of the gold answer that are given.
        model: another one of that family.
    """
    model = backbone.model if model is None else model
    given = row.answer_ids[:answered]
    with torch.no_grad():
        if backbone.family == "encoder-decoder":
            decoder = torch.tensor([[backbone.start_id, *given]])
            prompt = torch.tensor([row.prompt_ids])
            return model(input_ids=prompt, decoder_input_ids=decoder).logits[0, -1]
        return model(input_ids=torch.tensor([row.prompt_ids + given])).logits[0, -1]
