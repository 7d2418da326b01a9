"""Rank a task's options by how likely the model finds them; no generation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, encode_pairs
from amlora.engine.likelihood import answer_likelihoods
from amlora.engine.route import Router
from amlora.streams.prompt import Prompt


def option_scores(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    options: Sequence[str],
    *,
    tokens_per_batch: int,
    router: Router | None = None,
) -> Tensor:
    """Return the log-likelihood of each option as the whole answer, its end token included.

    Args:
        backbone: the model; its mode is as before afterwards.
        prompts: rows.
        options: possible answers. One may start with another: the end tokens tell them apart.
        tokens_per_batch: most tokens in a forward pass, padding included.
        router: tells which stages answer a prompt; None for the model as it is.

    Returns:
        (rows, options) natural logarithms in float32 on the CPU; the best option is the largest.

    Raises:
        InputError: a prompt does not fit even without its text.
    """
    asked = [(prompt, option) for prompt in prompts for option in options]
    pairs = encode_pairs(backbone, [prompt for prompt, _ in asked], [option for _, option in asked])
    rows = [Row("", "", prompt_ids, answer_ids, "") for prompt_ids, answer_ids in pairs]
    if router is not None:
        rows = router.routed(rows)
    found = answer_likelihoods(backbone, rows, tokens_per_batch)
    scores = torch.tensor([sum(each.logs) for each in found])
    return scores.view(len(prompts), len(options))
