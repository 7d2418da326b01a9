"""Texts sampled from a model as it is now: top-k sampling (Fan et al. 2018) with a penalty."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor

from amlora.engine.backbone import Backbone
from amlora.engine.generate import generate_ids, inference


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
    # What an encoder reads is not in the output; the decoder's start token is.
    longest = max(len(prompt) for prompt in prompts)
    first = longest if backbone.family == "decoder-only" else 1
    torch.manual_seed(seed)
    with inference(backbone):
        return generate_ids(
            backbone, prompts, max_new_tokens, watch=RepetitionPenalty(penalty, first), top_k=top_k
        )
