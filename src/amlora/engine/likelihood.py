"""How likely the model finds given answers, a task's options among them; no generation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, length_batches, target_logits
from amlora.engine.encode import Row, encode_pairs
from amlora.engine.generate import inference
from amlora.engine.route import Router
from amlora.streams.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Likelihood:
    """One answer, token by token, the end token last."""

    logs: tuple[float, ...]
    """Natural logarithm of each token's probability, given the prompt and the tokens before it."""
    best: tuple[bool, ...]
    """Whether no token of the vocabulary was likelier."""


def answer_likelihoods(
    backbone: Backbone, rows: Sequence[Row], tokens_per_batch: int
) -> list[Likelihood]:
    """Return the likelihood of each row's gold answer, in the order of the rows.

    The model's mode is as before afterwards; a forward pass has at most `tokens_per_batch` tokens,
    padding included.
    """
    found: dict[int, Likelihood] = {}
    for chosen in length_batches(rows, tokens_per_batch):
        batch = collate([rows[i] for i in chosen], backbone, share=1.0)
        with inference(backbone):
            logits = target_logits(backbone, batch).float()
            targets = batch.labels.clamp(min=0)
            logs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            best = logits.argmax(-1) == targets
        for place, i in enumerate(chosen):
            answered = batch.labels[place] >= 0
            found[i] = Likelihood(
                tuple(logs[place][answered].tolist()), tuple(best[place][answered].tolist())
            )
    return [found[i] for i in range(len(rows))]


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
    asked = [prompt for prompt in prompts for _ in options]
    pairs, _ = encode_pairs(backbone, asked, [*options] * len(prompts))
    rows = [Row("", "", prompt_ids, answer_ids, "") for prompt_ids, answer_ids in pairs]
    if router is not None:
        rows = router.routed(rows)
    found = answer_likelihoods(backbone, rows, tokens_per_batch)
    scores = torch.tensor([sum(each.logs) for each in found])
    return scores.view(len(prompts), len(options))
