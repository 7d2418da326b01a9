"""Texts sampled from a model as it is now: top-k sampling (Fan et al. 2018) with a penalty."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from amlora.engine.backbone import Backbone
from amlora.engine.batch import padded


@contextmanager
def untrained(backbone: Backbone) -> Iterator[None]:
    """Eval mode (put back afterwards), no gradients, the arithmetic of training."""
    model = backbone.model
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), backbone.arithmetic():
            yield
    finally:
        model.train(training)


class RepetitionPenalty(LogitsProcessor):
    """Make tokens that were written already less likely (Keskar et al. 2019, section 4.1).

    Only new tokens count. transformers' own processor looks up the prompt's ids as well, where soft
    prompts have ids beyond the vocabulary, and a label's words are no repetition in a text.
    """

    def __init__(self, penalty: float, first: int) -> None:
        self.penalty = penalty
        self.first = first
        """Place of the first new token."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Divide positive logits of tokens written so far and multiply negative ones.

        Args:
            input_ids: (rows, tokens) so far.
            scores: (rows, vocabulary) logits of the next token.
        """
        new = input_ids[:, self.first :]
        logits = scores.gather(1, new)
        lower = torch.where(logits < 0, logits * self.penalty, logits / self.penalty)
        return scores.scatter(1, new, lower)


@contextmanager
def sampling(backbone: Backbone, *, top_k: int, max_new_tokens: int) -> Iterator[None]:
    """Make the model's generation config one that samples, and put the old one back.

    `generate` fills what a passed config leaves open from the model's own, so that one is replaced.
    """
    model = backbone.model
    old = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=True,
        num_beams=1,
        temperature=1.0,
        top_k=top_k,
        top_p=1.0,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(backbone.end_ids),
        pad_token_id=backbone.pad_id,
        decoder_start_token_id=backbone.start_id,
    )
    try:
        yield
    finally:
        model.generation_config = old


def sample(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    *,
    top_k: int,
    penalty: float,
    max_new_tokens: int,
    seed: int,
) -> list[list[int]]:
    """Continue each prompt of one batch at random; torch's global random state is set by `seed`.

    Args:
        backbone: the model; its mode and generation config are as before afterwards.
        prompts: token ids, those of soft prompts included.
        top_k: how many of the likeliest tokens may come next.
        penalty: of `RepetitionPenalty`; 1 for none.
        max_new_tokens: where a text stops at the latest.
        seed: decides everything.

    Returns:
        For each prompt the new ids before its first end token.
    """
    model = backbone.model
    left = backbone.family == "decoder-only"
    ids = padded(prompts, backbone.pad_id, left=left).to(model.device)
    mask = padded([(1,) * len(prompt) for prompt in prompts], 0, left=left).to(model.device)
    # What an encoder reads is not in the output; the decoder's start token is.
    first = ids.shape[1] if left else 1
    torch.manual_seed(seed)
    with untrained(backbone), sampling(backbone, top_k=top_k, max_new_tokens=max_new_tokens):
        # A mixin brings `generate`, which the type PreTrainedModel does not know.
        out = model.generate(  # pyright: ignore
            input_ids=ids,
            attention_mask=mask,
            logits_processor=LogitsProcessorList([RepetitionPenalty(penalty, first)]),
        )
    return [before_end(row, backbone.end_ids) for row in out[:, first:].tolist()]


def before_end(ids: list[int], end_ids: frozenset[int]) -> list[int]:
    """Return the ids before the first end token."""
    stops = (i for i, token in enumerate(ids) if token in end_ids)
    return ids[: next(stops, len(ids))]
