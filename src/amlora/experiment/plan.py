"""What a run would do and need, without learning anything: `amlora run --dry-run`.

Data, model and method are loaded and checked as for the run itself, and each stage's `begin` is
called, so counts are exact; memory and disk are estimates.
"""

from typing import Any

from amlora.engine.batch import length
from amlora.engine.encode import Row
from amlora.experiment.naming import run_name
from amlora.experiment.prepare import Prepared, prepare
from amlora.experiment.settings import RunSettings, resolved

LINE_BYTES = 170  # of rows.jsonl, per scored row
LAYER_VALUES = 17  # kept for the backward pass per layer, token and unit of width
MOMENTS = 2  # AdamW keeps two numbers per trained one


def plan(settings: RunSettings) -> dict[str, Any]:
    """Return what a run would do, as plain values.

    "settings": all of them, "auto" resolved. "run": the folder's name. "model", "adapted", "tasks":
    as in the record. "prompts": two training rows as the model sees them, without soft prompts:
    text, token ids, and a mask that is 1 where the loss looks. "stages": steps, rows, tokens (of
    one pass over the rows, soft prompts included), parameters trained and stored. "estimate": bytes
    of memory and disk, by what they are for.

    Raises:
        InputError: whatever is wrong with settings, data or model, in one line.
    """
    prepared = prepare(settings)
    found, stages = prepared.settings, prepared.stages
    planned = planned_stages(prepared)
    identity = prepared.identity.model_dump(mode="json")
    return {
        "run": run_name(settings),
        "settings": resolved(found),
        "model": {**identity["model"], "precision": found.model.precision},
        "adapted": identity["adapted"],
        "device": str(prepared.backbone.model.device),
        "warnings": prepared.warnings,
        "tasks": identity["tasks"],
        "prompts": [shown_row(prepared, row) for row in (stages[0].rows[0], stages[-1].rows[-1])],
        "stages": planned,
        "estimate": {"memory": memory(prepared, planned), "disk": disk(prepared, planned)},
    }


def planned_stages(prepared: Prepared) -> list[dict[str, Any]]:
    """Return what each stage trains; the methods' `begin` says how many parameters."""
    planned = []
    for stage in prepared.stages:
        prepared.method.begin(stage)
        groups = prepared.method.parameters()
        soft = prepared.method.soft_tokens(stage.index + 1)
        planned.append(
            {
                "task": stage.task,
                "steps": stage.steps,
                "rows": len(stage.rows),
                "tokens": sum(length(row) + soft - 1 for row in stage.rows),
                "trainable_parameters": sum(w.numel() for g in groups for w in g.parameters),
                "stored_parameters": prepared.method.stored_parameters(),
            }
        )
    return planned


def shown_row(prepared: Prepared, row: Row) -> dict[str, Any]:
    """Return a row as the model sees it: one sequence, or the encoder's and the decoder's."""
    tokenizer = prepared.backbone.tokenizer
    shown: dict[str, Any] = {
        "task": row.task,
        "row": row.row,
        "text": tokenizer.decode(list(row.prompt_ids)),
        "answer": tokenizer.decode(list(row.answer_ids)),
        "gold": row.gold,
    }
    if prepared.backbone.family == "encoder-decoder":
        ids = {"input_ids": list(row.prompt_ids), "target_ids": list(row.answer_ids)}
        return {**shown, **ids, "loss_mask": [1] * len(row.answer_ids)}
    ids = {"input_ids": [*row.prompt_ids, *row.answer_ids]}
    return {**shown, **ids, "loss_mask": [0] * len(row.prompt_ids) + [1] * len(row.answer_ids)}


def memory(prepared: Prepared, stages: list[dict[str, Any]]) -> dict[str, int]:
    """Estimate the bytes that training needs at its peak.

    Activations follow Korthikanti et al. 2022, equation 1, without its quadratic term (attention
    kernels do not keep the scores): 34 bytes at two bytes a number are LAYER_VALUES numbers. With
    checkpointing only each layer's input is kept, and one layer is recomputed at a time.
    """
    model, train = prepared.backbone.model, prepared.settings.train
    config = model.config.get_text_config()
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    trained = max(stage["trainable_parameters"] for stage in stages)
    longest = max(length(row) for stage in prepared.stages for row in stage.rows)
    longest += prepared.method.soft_tokens(len(prepared.stages))
    answer = max(len(row.answer_ids) for stage in prepared.stages for row in stage.rows)
    tokens = min(train.micro_batch, train.batch) * longest
    if train.micro_tokens is not None:
        tokens = min(tokens, max(longest, train.micro_tokens))
    layers = config.num_hidden_layers
    if prepared.backbone.family == "encoder-decoder":
        layers += config.num_decoder_layers
    kept = LAYER_VALUES * (1 if prepared.settings.model.checkpointing else layers)
    kept += layers if prepared.settings.model.checkpointing else 0
    number = prepared.backbone.precision.itemsize
    logits = min(train.micro_batch, train.batch) * answer * config.vocab_size
    needs = {
        "weights": weights,
        "gradients": 4 * trained,
        "optimiser": 4 * MOMENTS * trained,
        "activations": kept * config.hidden_size * tokens * number,
        "logits": 3 * 4 * logits,  # as computed, in float32, and their gradient
    }
    return {**needs, "total": sum(needs.values())}


def disk(prepared: Prepared, stages: list[dict[str, Any]]) -> dict[str, int]:
    """Estimate the bytes that the run's folder holds, and the checkpoint's while it runs.

    While a checkpoint is replaced the old one is there as well.
    """
    stored = stages[-1]["stored_parameters"]
    trained = max(stage["trainable_parameters"] for stage in stages)
    tasks = len(prepared.scored)
    each = max(len(rows) for rows in prepared.scored)
    needs = {
        "checkpoint": 2 * 4 * (max(stored, trained) + MOMENTS * trained),
        "skills": 4 * stored if prepared.method.mixture else 0,
        "rows": LINE_BYTES * each * tasks * (len(prepared.stages) + 1),
    }
    return {**needs, "total": sum(needs.values())}
