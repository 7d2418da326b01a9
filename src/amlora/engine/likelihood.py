"""How likely the model finds given answers, token by token; no generation."""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.engine.generate import inference
from amlora.engine.packs import packs


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

    Args:
        backbone: the model; its mode is as before afterwards.
        rows: as the model reads them; their routes say which stages answer.
        tokens_per_batch: most tokens in a forward pass, padding included.
    """
    found: dict[int, Likelihood] = {}
    for chosen in packs(rows, tokens_per_batch):
        batch = collate([rows[i] for i in chosen], backbone, share=1.0)
        with inference(backbone):
            logits = target_logits(backbone, batch).float()
            targets = batch.labels.clamp(min=0)
            logs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            best = logits.argmax(-1) == targets
        for place, i in enumerate(chosen):
            told = batch.labels[place] >= 0
            found[i] = Likelihood(
                tuple(logs[place][told].tolist()), tuple(best[place][told].tolist())
            )
    return [found[i] for i in range(len(rows))]
