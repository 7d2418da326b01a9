"""Batches: which rows share a step or a forward pass, how they are padded, and their logits.

The steps of a stage are a pure function of (seed, stage). Decoder-only rows are padded on the left:
all answers end at the last position, so the model's own `logits_to_keep` runs the language-model
head at target positions only. The last answer token is a target and never an input.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row
from amlora.engine.route import by_routes
from amlora.mixture.route import only_stage

IGNORED = -100
"""The label of positions that are no target."""
WINDOW = 4
"""Batches whose rows are sorted by length together when batches are bucketed."""
HEAD_SHARE = 4
"""At most tokens_per_batch / HEAD_SHARE positions go through the language-model head at once."""


@dataclass(frozen=True)
class Batch:
    """Rows ready for the model.

    labels: (rows, L) target ids, `IGNORED` elsewhere; L is the longest answer.
    inputs: what the model's forward takes.
    share: 1 / the number of targets in the whole step (all micro-batches and processes).
    """

    rows: tuple[Row, ...]
    inputs: dict[str, Tensor]
    labels: Tensor
    share: float


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed decided by its arguments."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def steps_of(rows: int, batch: int, epochs: float, steps: int | None) -> int:
    """Return the optimiser steps of a stage; a fraction of an epoch is rounded up to a step."""
    return steps if steps is not None else max(1, math.ceil(epochs * math.ceil(rows / batch)))


def plan(
    rows: Sequence[Row], *, batch: int, steps: int, seed: int, stage: int, bucketed: bool
) -> list[list[int]]:
    """Return which of a stage's rows make up each step, at most `batch` of them.

    Each epoch is a fresh permutation, decided by seed, stage and epoch; its last batch may be
    smaller. Bucketed batches hold rows of similar length, in random order: windows of WINDOW
    batches are sorted by length.
    """
    planned: list[list[int]] = []
    epoch = 0
    while len(planned) < steps:
        generator = torch.Generator().manual_seed(seed_of(seed, stage, "epoch", epoch))
        order: list[int] = torch.randperm(len(rows), generator=generator).tolist()
        if bucketed:
            windows = [order[i : i + WINDOW * batch] for i in range(0, len(order), WINDOW * batch)]
            order = [i for window in windows for i in sorted(window, key=lambda i: length(rows[i]))]
        batches = [order[i : i + batch] for i in range(0, len(order), batch)]
        if bucketed:
            shuffled = torch.randperm(len(batches), generator=generator).tolist()
            batches = [batches[i] for i in shuffled]
        planned += batches
        epoch += 1
    return planned[:steps]


def length(row: Row) -> int:
    """Return a row's length in tokens."""
    return len(row.prompt_ids) + len(row.answer_ids)


def cut(rows: Sequence[Row], fits: Callable[[int, int, int], bool]) -> list[list[int]]:
    """Put rows of similar length together; one that fits nowhere is alone.

    `fits` is given a batch's number of rows, its longest row and its longest answer. Returns places
    of rows, every one once, shortest first.
    """
    batches: list[list[int]] = []
    answer = 0
    for i in sorted(range(len(rows)), key=lambda i: length(rows[i])):
        longest = max(answer, len(rows[i].answer_ids))
        if batches and fits(len(batches[-1]) + 1, length(rows[i]), longest):
            batches[-1].append(i)
            answer = longest
        else:
            batches.append([i])
            answer = len(rows[i].answer_ids)
    return batches


def micro_batches(
    rows: Sequence[Row],
    backbone: Backbone,
    *,
    size: int,
    tokens: int | None = None,
    process: int = 0,
    processes: int = 1,
) -> list[Batch]:
    """Split one step's rows into padded micro-batches of similar length for this process.

    A step smaller than the number of processes leaves some of them without rows. A micro-batch has
    at most `size` rows and `tokens` tokens, padding included; a longer row is alone.
    """
    share = 1 / sum(len(row.answer_ids) for row in rows)
    mine, most = rows[process::processes], math.inf if tokens is None else tokens
    parts = cut(mine, lambda count, longest, _: count <= size and longest * count <= most)
    return [collate([mine[i] for i in part], backbone, share=share) for part in parts]


def by_stage(rows: Sequence[Row]) -> list[list[int]]:
    """Return places of rows: those of each stage that answers alone together, and the others."""
    found: dict[int | None, list[int]] = {}
    for i, row in enumerate(rows):
        stage = None if row.route is None else only_stage(row.route)
        found.setdefault(stage, []).append(i)
    return list(found.values())


def similar(rows: Sequence[Row], tokens_per_batch: int) -> list[list[int]]:
    """Do what `length_batches` does, for rows that may all be together."""
    head = tokens_per_batch // HEAD_SHARE
    return cut(
        rows,
        lambda count, longest, answer: (
            longest * count <= tokens_per_batch and answer * count <= head
        ),
    )


def length_batches(rows: Sequence[Row], tokens_per_batch: int) -> list[list[int]]:
    """Return places of rows, similar lengths together, as many as fit; a longer row is alone.

    Rows of different stages are kept apart: the answers of one stage's model are then what they
    were when that stage ended, bit for bit.
    """
    return [
        [places[i] for i in batch]
        for places in by_stage(rows)
        for batch in similar([rows[i] for i in places], tokens_per_batch)
    ]


def collate(rows: Sequence[Row], backbone: Backbone, *, share: float) -> Batch:
    """Pad rows into one batch on the model's device."""
    answers = [row.answer_ids for row in rows]
    if backbone.family == "encoder-decoder":
        assert backbone.start_id is not None
        starts = [(backbone.start_id, *ids[:-1]) for ids in answers]
        inputs = prompt_inputs(backbone, [row.prompt_ids for row in rows])
        inputs["decoder_input_ids"] = padded(starts, backbone.pad_id, left=False)
    else:
        inputs = prompt_inputs(backbone, [row.prompt_ids + row.answer_ids[:-1] for row in rows])
        if backbone.takes("position_ids"):
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    labels = padded(answers, IGNORED, left=backbone.family == "decoder-only")
    device = backbone.model.device
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    return Batch(tuple(rows), inputs, labels.to(device), share)


def prompt_inputs(backbone: Backbone, prompts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Pad what a model reads first, on the left for decoder-only models, and mask the padding."""
    left = backbone.family == "decoder-only"
    return {
        "input_ids": padded(prompts, backbone.pad_id, left=left),
        "attention_mask": padded([(1,) * len(ids) for ids in prompts], 0, left=left),
    }


def padded(rows: Sequence[Sequence[int]], value: int, *, left: bool) -> Tensor:
    """Return (rows, longest) int64 with `value` where a row is shorter."""
    longest = max(len(row) for row in rows)
    out = torch.full((len(rows), longest), value)
    for i, row in enumerate(rows):
        where = slice(longest - len(row), None) if left else slice(0, len(row))
        out[i, where] = torch.tensor(row)
    return out


def target_logits(backbone: Backbone, batch: Batch) -> Tensor:
    """Run the model and return (rows, L, vocabulary) logits aligned with `batch.labels`."""
    targets = batch.labels.shape[1]
    keeps = backbone.family == "decoder-only" and backbone.takes("logits_to_keep")
    how = {"logits_to_keep": targets} if keeps else {}
    with by_routes(backbone, batch.rows):
        logits = backbone.model(**batch.inputs, use_cache=False, **how).logits
    return logits if logits.shape[1] == targets else logits[:, -targets:]


def task_loss(backbone: Backbone, batch: Batch) -> Tensor:
    """Return this micro-batch's part of the step's mean cross-entropy per target token.

    The parts of all micro-batches and processes add up to the mean over the whole step.
    """
    return token_loss(target_logits(backbone, batch).float(), batch.labels) * batch.share


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of (rows, L, vocabulary) logits, summed over targets.

    Labels are (rows, L) target ids, `IGNORED` elsewhere.
    """
    return F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
