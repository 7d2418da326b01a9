"""Whether a base model is whole: it has every weight that its config asks for, and no other.

transformers fills what is missing with random numbers and drops what is left over, with a warning;
a model of this kind learns, and answers, as if nothing were wrong.
"""

import copy
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from amlora.engine.source import FLOATS, StoredWeights
from amlora.errors import InputError

SPARE = 1 << 24
"""Weights that a model may have beyond its files' and still be built, to be told by name."""
COMPUTED = 1 << 29
"""Values of masks and tables that are computed and not stored."""
PACKED = 16
"""At most so many weights of a quantised model are kept in one stored value."""
FEW = 64
"""Parts that any model may have."""
COUNTS = re.compile(r"(layers?|blocks?|labels|experts|block_count|attention_types)$")
"""Numbers in a config that say how often something is built, one by one."""
HARMLESS = (
    re.compile(r"(attn|attention)\.(masked_)?bias$"),  # masks that GPT-2 and its kin once stored
    re.compile(r"rotary_emb\.inv_freq$"),  # a table that is computed
    re.compile(r"^cls\.seq_relationship\.|\.pooler\.dense\."),  # BERT's other heads
)
"""Left over in published models, and of no use for generation."""


def check_counts(config: Mapping[str, Any], stored: StoredWeights) -> None:
    """Refuse a config that asks for more parts than there are tensors, before any is built."""
    most = max(stored.tensors, FEW)
    for name, value in numbers(config):
        if value > most and COUNTS.search(name):
            raise InputError(
                f"model.name: its config says {name} = {value}, but there are"
                f" {stored.tensors} tensors of weights."
            )


def numbers(value: object, name: str = "") -> list[tuple[str, float]]:
    """Return all numbers of a plain value with the names that they stand under."""
    if isinstance(value, Mapping):
        return [found for key, each in value.items() for found in numbers(each, str(key))]
    if isinstance(value, list | tuple):
        return [found for each in value for found in numbers(each, name)]
    return [(name, value)] if isinstance(value, int | float) else []


def check_size(
    loader: Any, config: PreTrainedConfig, stored: StoredWeights, *, quantised: bool
) -> None:
    """Refuse a model that is much larger than its files, or other in kind, before it is built.

    The auto class builds it without memory first; a smaller difference is told by name once it was
    loaded. The files of quantised models hold packed values.
    """
    with torch.device("meta"):
        model = loader.from_config(copy.deepcopy(config))
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    values = sum(map(math.prod, wanted.values()))
    computed = sum(buffer.numel() for buffer in model.buffers())
    most = (PACKED if quantised else 1) * stored.values + SPARE
    if values > most or computed > COMPUTED:
        for name, shape in wanted.items():
            if stored.shapes.get(name, shape) != shape:
                raise InputError(
                    f"model.name: its config asks for {name} of shape {shape}, but the file's is"
                    f" {stored.shapes[name]}."
                )
        raise InputError(
            f"model.name: its config asks for {values:,} weights and {computed:,} computed values,"
            f" but its files hold at most {stored.values:,}."
        )
    kinds = {name: stored.kinds[name] for name in wanted if name in stored.kinds}
    if not quantised and (others := {n: kind for n, kind in kinds.items() if kind not in FLOATS}):
        name, kind = min(others.items())
        raise InputError(
            f"model.name: {name} is stored as {kind}, and no quantization_config says how to read"
            f" it; weights are {', '.join(sorted(FLOATS))}."
        )


def check_loaded(
    model: PreTrainedModel, info: Mapping[str, Any], stated: Mapping[str, Any]
) -> None:
    """Refuse a loaded model that has lacked weights, or has left some over.

    `info` is what `from_pretrained(..., output_loading_info=True)` says of it, and `stated` its
    config as it stands in the file.
    """
    kind = type(model).__name__
    if mismatched := sorted(info["mismatched_keys"]):
        name, found, wanted = mismatched[0]
        raise InputError(
            f"model.name: {name} has the shape {tuple(found)}, but its config asks for"
            f" {tuple(wanted)}{more(mismatched)}."
        )
    missing = {*info["missing_keys"]}
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    apart = stated.get("tie_word_embeddings") is False and "text_config" not in stated
    # T5 shares a head that is missing, even where the file says that the two differ.
    if apart and head is not None and head.weight is embedding.weight:
        missing.add("lm_head.weight")
    if missing:
        raise InputError(f"model.name: {kind} lacks {listed(missing)}; they would be random.")
    known = [name for name in info["unexpected_keys"] if any(p.search(name) for p in HARMLESS)]
    if left := {*info["unexpected_keys"]} - {*known}:
        raise InputError(
            f"model.name: {kind} has no place for {listed(left)}; its config and its files do not"
            " belong together."
        )


def check_finite(model: PreTrainedModel) -> None:
    """Refuse weights that are not numbers; only a sum that is none needs a second look."""
    for name, weight in model.named_parameters():
        values = weight.detach()
        if not values.is_floating_point() or values.sum(dtype=torch.float32).isfinite():
            continue
        if not values.isfinite().all():
            raise InputError(f"model.name: {name} holds values that are not finite.")


def listed(names: Collection[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(sorted(names)[:3]) + more([*names][2:])


def more(names: Collection[object]) -> str:
    """Return how many there are beyond the first."""
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
