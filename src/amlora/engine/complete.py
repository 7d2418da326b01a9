"""Rows' whole answers together with the losses of the right ones, each prompt read once.

A decoder-only model's keys and values of a prompt serve twice: the right answer is read behind
them, which tells its loss, and the model's own answer is written behind them, unless the reading
has told already that it is the right one. Other models read a prompt once more to write.

An answer is that of greedy generation at batch one. Where a token leads by so little that rounding
could have chosen another, the row's answer is generated alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from amlora.engine.backbone import Backbone
from amlora.engine.batch import by_stage, padded, prompt_inputs, similar
from amlora.engine.encode import Row, decode
from amlora.engine.exact import Passed, found_of, passes
from amlora.engine.generate import inference, leads
from amlora.engine.prefix import Prefix, Shared, plain_cache, shared_prefix, states_of
from amlora.engine.route import by_routes
from amlora.engine.settings import EvaluateSettings
from amlora.engine.until_certain import generate_until_certain

FINISHED = 4
"""Once one row in so many has ended, the others go on without them."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A row's own answer, and how surprising the right one was."""

    text: str
    """To its end, blanks as they are."""
    losses: list[float]
    """Of each token of the right answer, in nats."""


def complete(
    backbone: Backbone, rows: Sequence[Row], settings: EvaluateSettings
) -> list[Completed]:
    """Answer rows to the end, each by its route.

    Args:
        backbone: the model; its mode is as before afterwards.
        rows: with their right answers.
        settings: give the margin, `tokens_per_batch` and `max_new_tokens`.

    Returns:
        One of each row, in the order of the rows.
    """
    texts: dict[int, str | None] = {}
    losses: dict[int, list[float]] = {}
    if keeps_states(backbone, rows):
        for found, text in read_and_written(backbone, rows, settings):
            texts[found.place], losses[found.place] = text, found.losses
        budget = 1  # those that are left are close calls, each of which is generated alone
    else:
        for found in passes(backbone, rows, settings.tokens_per_batch):
            losses[found.place] = found.losses
            ids = known_answer(backbone, rows[found.place], found, settings)
            texts[found.place] = None if ids is None else decode(backbone, ids)
        budget = settings.tokens_per_batch
    left = [i for i, text in texts.items() if text is None]
    how = settings.replace(tokens_per_batch=budget)
    generated = generate_until_certain(backbone, [rows[i] for i in left], how, whole=True)
    texts |= dict(zip(left, generated, strict=True))
    return [Completed(texts[i] or "", losses[i]) for i in range(len(rows))]


def known_answer(
    backbone: Backbone, row: Row, found: Passed, settings: EvaluateSettings
) -> Sequence[int] | None:
    """Return a row's answer where it follows the right one to an end, as reading that tells.

    None where it goes another way, has no end, or a token's lead is within the margin.
    """
    assert settings.margin is not None
    for at, (best, right) in enumerate(zip(found.best, row.answer_ids, strict=True)):
        if at >= settings.max_new_tokens or not found.leads[at] >= settings.margin:
            return None
        if best in backbone.end_ids:
            return row.answer_ids[:at]
        if best != right:
            return None
    return None


def keeps_states(backbone: Backbone, rows: Sequence[Row]) -> bool:
    """Tell by a row's first token whether plain keys and values are kept, for more than one use."""
    able = backbone.takes("position_ids", "logits_to_keep", "past_key_values")
    if backbone.family != "decoder-only" or not able or not rows:
        return False
    ids = torch.tensor([rows[0].prompt_ids[:1]], device=backbone.model.device)
    with inference(backbone):
        out = run(backbone, rows[:1], ids, torch.ones_like(ids), None, logits_to_keep=1)
    return plain_cache(out) is not None


def run(
    backbone: Backbone,
    rows: Sequence[Row],
    ids: Tensor,
    mask: Tensor,
    cache: DynamicCache | None,
    **how: int,
) -> Any:
    """Run the model on some tokens of rows, behind what a cache holds of them, and keep states.

    Args:
        backbone: the model.
        rows: say by whom they are answered.
        ids: (rows, tokens).
        mask: (rows, cached and new tokens) 1 for a token, 0 for padding.
        cache: None for none.
        how: what else the model is told.
    """
    where = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    given = {"position_ids": where, "past_key_values": cache, "use_cache": True, **how}
    with by_routes(backbone, rows):
        return backbone.model(input_ids=ids, attention_mask=mask, **given)


def cache_of(states: Sequence[tuple[Tensor, Tensor]], rows: int | None = None) -> DynamicCache:
    """Make a cache, to be added to, of each layer's states; with `rows` one row's serve so many."""
    cache = DynamicCache()
    for place, pair in enumerate(states):
        keys, values = (each if rows is None else each.expand(rows, -1, -1, -1) for each in pair)
        cache.update(keys, values, place)
    return cache


def read_and_written(
    backbone: Backbone, rows: Sequence[Row], settings: EvaluateSettings
) -> Iterator[tuple[Passed, str | None]]:
    """Give what reading a row's right answer finds, and the row's own; None for a close call."""
    for places in by_stage(rows):
        group = [rows[i] for i in places]
        with inference(backbone):
            prefix = shared_prefix(backbone, group)
        group = [prefix.cut(row) for row in group]
        for chosen in similar(group, settings.tokens_per_batch):
            batch = [group[i] for i in chosen]
            with inference(backbone):
                prompts = Prompts.read(backbone, batch, prefix)
                found = prompts.follow([places[i] for i in chosen])
                answers = [
                    known_answer(backbone, row, each, settings)
                    for row, each in zip(batch, found, strict=True)
                ]
                open_ = [place for place, ids in enumerate(answers) if ids is None]
                for place, ids in zip(open_, prompts.write(open_, settings), strict=True):
                    answers[place] = ids
            for each, ids in zip(found, answers, strict=True):
                yield each, None if ids is None else decode(backbone, ids)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a model keeps of a batch of prompts, all of which end at the last position."""

    backbone: Backbone
    rows: Sequence[Row]
    """Without the tokens that they share."""
    states: list[tuple[Tensor, Tensor]]
    """Each layer's (rows, heads, tokens, D) keys and values."""
    mask: Tensor
    """(rows, tokens) 1 for a token and 0 for padding."""
    logits: Tensor
    """(rows, vocabulary) of the first token behind, float32."""

    @classmethod
    def read(cls, backbone: Backbone, rows: Sequence[Row], prefix: Prefix) -> "Prompts":
        """Run the model on prompts without their answers, behind what they share."""
        inputs = prompt_inputs(backbone, [row.prompt_ids for row in rows])
        inputs = {name: tensor.to(backbone.model.device) for name, tensor in inputs.items()}
        own = inputs["attention_mask"]
        mask = torch.cat([own.new_ones(len(rows), prefix.length), own], dim=1)
        out = run(
            backbone,
            rows,
            inputs["input_ids"],
            mask,
            None if prefix.cache is None else cache_of(states_of(prefix.cache), len(rows)),
            logits_to_keep=1,
        )
        cache = plain_cache(out)
        assert cache is not None
        return cls(backbone, rows, states_of(cache), mask, out.logits[:, -1].float())

    def follow(self, places: Sequence[int]) -> list[Passed]:
        """Read the right answers; `places` are the rows' own."""
        answers = [row.answer_ids for row in self.rows]
        logits = self.logits.unsqueeze(1)
        if max(map(len, answers)) > 1:
            read = [ids[:-1] for ids in answers]
            device = self.mask.device
            ids = padded(read, self.backbone.pad_id, left=False).to(device)
            own = padded([(1,) * len(each) for each in read], 0, left=False).to(device)
            cache = DynamicCache()
            cache.layers.extend(Shared(*each) for each in self.states)
            mask = torch.cat([self.mask, own], dim=1)
            behind = run(self.backbone, self.rows, ids, mask, cache).logits.float()
            logits = torch.cat([logits, behind], dim=1)
        ours = [logits[i, : len(ids)] for i, ids in enumerate(answers)]
        return found_of(torch.cat(ours), answers, places)

    def write(self, places: Sequence[int], settings: EvaluateSettings) -> list[list[int] | None]:
        """Write the answers of the rows at some places, greedily; None for a close call.

        The ids end before the first end token.
        """
        assert settings.margin is not None
        answers: dict[int, list[int] | None] = {place: [] for place in places}
        going = list(places)
        logits, mask = self.logits[going], self.mask[going]
        cache = cache_of([(keys[going], values[going]) for keys, values in self.states])
        for written in range(settings.max_new_tokens):
            best, lead = logits.argmax(-1).tolist(), leads(logits).tolist()
            ended: set[int] = set()
            for place, token, ahead in zip(going, best, lead, strict=True):
                ids = answers[place]
                if ids is None or len(ids) < written:  # has ended before
                    ended.add(place)
                elif not ahead >= settings.margin:  # NaN leads nothing
                    answers[place] = None
                    ended.add(place)
                elif token in self.backbone.end_ids:
                    ended.add(place)
                else:
                    ids.append(token)
            if len(ended) == len(going) or written + 1 == settings.max_new_tokens:
                break
            if FINISHED * len(ended) >= len(going):
                stay = [i for i, place in enumerate(going) if place not in ended]
                going, best = [going[i] for i in stay], [best[i] for i in stay]
                mask = mask[stay]
                cache.batch_select_indices(torch.tensor(stay, device=mask.device))
            mask = torch.cat([mask, mask.new_ones(len(going), 1)], dim=1)
            ids = torch.tensor(best, device=mask.device).unsqueeze(1)
            rows = [self.rows[place] for place in going]
            logits = run(self.backbone, rows, ids, mask, cache).logits[:, -1].float()
        return [answers[place] for place in places]
