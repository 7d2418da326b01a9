"""Whether a model can be learned with at all: a trial on a few tokens, before anything is learned.

A model that reads ahead (BERT without `is_decoder`, XLM) sees each token that it is asked for, so
it would learn to copy and answer nothing. One that wants more than text (pictures, a language to
be set) would fail in its first step.
"""

import torch

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.errors import InputError

TEXT = "Which one is it? This one or that one?"
APART = 1e-2
"""Of the largest logit: how far logits may differ that ought to be the same."""


def try_out(backbone: Backbone) -> None:
    """Run a short row with two last tokens in turn, of which no earlier logit may tell.

    Raises:
        InputError: the model cannot be run on text, or it reads ahead.
    """
    ids = list(dict.fromkeys(backbone.tokenizer(TEXT).input_ids))
    if len(ids) < 3:
        return  # a tokenizer with next to no tokens
    *start, one, other = ids
    rows = [
        Row("", str(last), tuple(start), (start[0], last, backbone.end_id), "")
        for last in (one, other)
    ]
    name = backbone.name
    try:
        with torch.no_grad(), backbone.evaluating():
            logits = target_logits(backbone, collate(rows, backbone, share=1.0)).float()
    except Exception as error:  # whatever the family's own code raises
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"model.name: {name!r} cannot be run on a text: {reason}") from error
    before = logits[:, :-1]  # of all tokens but the one after the last
    if (before[0] - before[1]).abs().max() > APART * logits.abs().max():
        kind = backbone.model.config.model_type
        raise InputError(
            f"model.name: {name!r} ({kind}) reads ahead, so it cannot learn to answer; it needs a"
            " causal decoder (for BERT and its like `is_decoder: true` in config.json)."
        )
