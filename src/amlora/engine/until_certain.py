"""Generate answers only until their score is certain.

Greedy generation of several rows at once; a row stops as soon as no continuation could match its
gold answer. Rows in a batch are padded, so their logits differ from those at batch one by rounding:
the smallest lead of the best token is watched, and a row with too small a lead is generated again
alone, where nothing is padded and the path is the reference's own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import StoppingCriteria

from amlora.engine.answer import leaves_gold
from amlora.engine.backbone import Backbone
from amlora.engine.batch import length_batches
from amlora.engine.encode import Row, decode
from amlora.engine.generate import Seen, cut_at_end, generate_ids, inference, leads
from amlora.engine.settings import EvaluateSettings
from amlora.evaluate.score import Rule


class CertainMiss(StoppingCriteria):
    """Stops a row once its text is no start of its gold answer."""

    def __init__(self, backbone: Backbone, golds: Sequence[str], rule: Rule) -> None:
        self.backbone = backbone
        self.golds = golds
        self.rule: Rule = rule
        self.steps = 0
        self.stopped: dict[int, int] = {}
        """Steps after which a row was stopped, by its place."""

    def __call__(self, input_ids: Tensor, scores: object) -> Tensor:
        self.steps += 1
        for i, new in enumerate(input_ids[:, -self.steps :].tolist()):
            ids = cut_at_end(new, self.backbone.end_ids)
            if i in self.stopped or len(ids) < self.steps:
                continue
            if leaves_gold(decode(self.backbone, ids), self.golds[i], self.rule):
                self.stopped[i] = self.steps
        done = [i in self.stopped for i in range(len(self.golds))]
        return torch.tensor(done, device=input_ids.device)


def generate_until_certain(
    backbone: Backbone, rows: Sequence[Row], settings: EvaluateSettings, *, whole: bool = False
) -> list[str]:
    """Generate each row's answer until it is a certain hit or miss, or, `whole`, to its end.

    A row whose best token once leads by less than `settings.margin` in a batch is generated again
    alone.

    Returns:
        Texts in the order of the rows; `is_match` scores them as it would the whole answers.
    """
    margin = settings.margin or 0.0
    texts = [""] * len(rows)
    for chosen in length_batches(rows, settings.tokens_per_batch):
        generated = texts_and_leads(backbone, [rows[i] for i in chosen], settings, whole=whole)
        for i, (text, lead) in zip(chosen, generated, strict=True):
            if len(chosen) > 1 and not lead >= margin:  # NaN leads nothing
                ((text, _),) = texts_and_leads(backbone, [rows[i]], settings, whole=whole)
            texts[i] = text
    return texts


def texts_and_leads(
    backbone: Backbone, rows: Sequence[Row], settings: EvaluateSettings, *, whole: bool
) -> list[tuple[str, float]]:
    """Return each row's text and the smallest lead of its best tokens, in logits."""
    seen, miss = Seen(leads), CertainMiss(backbone, [row.gold for row in rows], settings.rule)
    prompts, routes = [row.prompt_ids for row in rows], [row.route for row in rows]
    with inference(backbone):
        generated = generate_ids(
            backbone,
            prompts,
            settings.max_new_tokens,
            watch=seen,
            stop=None if whole else miss,
            routes=routes,
        )
    out: list[tuple[str, float]] = []
    by_row = torch.stack(seen.steps, dim=1).tolist()
    for i, ids in enumerate(generated):
        ids = ids[: miss.stopped.get(i, len(ids))]
        steps = by_row[i][: len(ids) + (i not in miss.stopped)]  # the end token is a step too
        out.append((decode(backbone, ids), min(steps)))
    return out
