"""Find the projections to adapt in a model, and wrap them."""

import fnmatch
from collections.abc import Iterable, Sequence
from typing import cast

from torch import nn

from amlora.errors import InputError, nearest
from amlora.mixture.layer import Control, MixtureLinear
from amlora.mixture.mixture import Mixture

QUERY_AND_VALUE = {
    ("q_proj", "v_proj"): "bart gemma gemma2 gemma3 gemma3_text gpt_neo gptj llama mistral mixtral"
    " olmo olmo2 opt phi qwen2 qwen3 smollm3 stablelm starcoder2",
    ("q", "v"): "longt5 mt5 t5 umt5",
    ("query_key_value",): "bloom falcon gpt_neox",
    ("c_attn",): "gpt2 gpt_bigcode",
    ("qkv_proj",): "phi3 phi4_multimodal",
}
"""Query and value projections, and the model types that have them (section 3.3 and figure 4 of the
paper). Where a model keeps q, k and v in one module, that module is adapted, and k with it."""

GUESSES = (("q_proj", "v_proj"), ("q", "v"), ("query", "value"), ("wq", "wv"), ("q_lin", "v_lin"))
"""Tried in order for a model type that the table lacks."""

FUSED = frozenset({"query_key_value", "qkv_proj", "c_attn", "qkv", "Wqkv", "W_pack"})
"""Modules that hold q, k and v: adapting one adapts the key projection too."""

TOWERS = frozenset(
    {"audio_embed", "audio_tower", "image_embed", "vision_model", "vision_tower", "visual"}
)
"""Parts of multimodal models that no text passes through."""


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return a model's modules by name, in its order."""
    return dict(cast(Iterable[tuple[str, nn.Module]], model.named_modules()))


def last_part(name: str) -> str:
    """Return the last part of a module's name."""
    return name.rsplit(".", 1)[-1]


def linear_sizes(module: nn.Module) -> tuple[int, int] | None:
    """Return (D_in, D_out) of a linear-like module, or None for anything else.

    `nn.Linear` and quantised linears name their sizes; GPT-2's `Conv1D` has a weight (D_in, D_out).
    """
    if type(module).__name__ == "Conv1D":
        d_in, d_out = module.get_parameter("weight").shape
        return d_in, d_out
    d_in, d_out = module.__dict__.get("in_features"), module.__dict__.get("out_features")
    return (d_in, d_out) if isinstance(d_in, int) and isinstance(d_out, int) else None


def find_targets(model: nn.Module, model_type: str, patterns: Sequence[str] = ()) -> list[str]:
    """Name the modules to adapt, in the model's order.

    Args:
        model: any transformers model.
        model_type: its `config.model_type`.
        patterns: last name parts ("q_proj") or shell patterns over whole names
            ("model.layers.[0-3].*.q_proj"); empty for query and value.

    Raises:
        InputError: nothing matches, or a pattern matches nothing; candidates are listed.
    """
    linears = [name for name, module in modules_of(model).items() if linear_sizes(module)]
    endings = sorted(set(map(last_part, linears)))
    if patterns:
        unused = [p for p in patterns if not any(matches(name, p) for name in linears)]
        if unused:
            raise InputError(
                f"method.lora.targets: {unused[0]!r} matches no linear layer of this model"
                f"{nearest(unused[0], endings)}; candidates: {', '.join(endings)}."
            )
        return [name for name in linears if any(matches(name, p) for p in patterns)]
    linears = [name for name in linears if not TOWERS & set(name.split("."))]
    known = [pair for pair, types in QUERY_AND_VALUE.items() if model_type in types.split()]
    for pair in known or GUESSES:
        found = [name for name in linears if last_part(name) in pair]
        if set(map(last_part, found)) == set(pair):
            return found
    raise InputError(
        f"method.lora.targets: no query and value projections known for model type {model_type!r};"
        f" name them; candidates: {', '.join(endings)}."
    )


def matches(name: str, pattern: str) -> bool:
    """Tell whether a module's name ends in, or fits, a pattern."""
    return last_part(name) == pattern or fnmatch.fnmatchcase(name, pattern)


def inject(model: nn.Module, targets: Sequence[str], control: Control) -> Mixture:
    """Wrap the named modules in place and freeze the whole model.

    An InputError, and the model as it was, if a name is that of no linear-like module, or of one
    that is wrapped already.
    """
    modules = modules_of(model)
    layers: dict[str, MixtureLinear] = {}
    for name in targets:
        if name not in modules:
            raise InputError(f"method.lora.targets: no module {name!r}{nearest(name, modules)}.")
        sizes = linear_sizes(modules[name])
        if sizes is None:
            kind = type(modules[name]).__name__
            raise InputError(f"method.lora.targets: {name} is {kind}, no linear.")
        layers[name] = MixtureLinear(name, modules[name], *sizes, control)
    model.requires_grad_(False)
    for name, layer in layers.items():
        model.set_submodule(name, layer)
    return Mixture(layers, control)


def remove(model: nn.Module, mixture: Mixture) -> None:
    """Put the frozen modules back, as if nothing had been injected."""
    for name, layer in mixture.layers.items():
        model.set_submodule(name, layer.base)


def adapted_projections(model: nn.Module) -> dict[str, list[str]]:
    """Tell which projections LoRAs change, by the last parts of their names, sorted.

    "projections" are all of them, and "with_key" those that hold query, key and value in one, so
    that the key is changed as well.
    """
    found = modules_of(model).items()
    names = {last_part(name) for name, module in found if isinstance(module, MixtureLinear)}
    return {"projections": sorted(names), "with_key": sorted(names & FUSED)}
