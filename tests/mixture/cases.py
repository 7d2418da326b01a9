"""Small random mixtures, and the same done with the reference, for the tests of this folder."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from amlora.mixture import reference
from amlora.mixture.bank import Trained
from amlora.mixture.inject import inject
from amlora.mixture.layer import Control, MixtureLinear
from amlora.mixture.mixture import Mixture
from amlora.mixture.reference import Combine


class Inputs(NamedTuple):
    """The arguments of `mix`: x (..., D_in), a (K, D_in), b (K, D_out), w (N, D_out), spread."""

    x: Tensor
    a: Tensor
    b: Tensor
    w: Tensor
    spread: Tensor


def random_inputs(
    ranks: Sequence[int],
    *,
    shape: tuple[int, ...] = (7,),
    d_in: int = 6,
    d_out: int = 5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Inputs:
    """Return random inputs that want gradients; the LoRAs' scales are 0.5, 0.75, 1 and so on."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> Tensor:
        values = torch.randn(size, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_()

    blocks = [torch.full((1, rank), 0.5 + index / 4) for index, rank in enumerate(ranks)]
    rows = sum(ranks)
    return Inputs(
        random(*shape, d_in),
        random(rows, d_in),
        random(rows, d_out),
        random(len(ranks), d_out),
        torch.block_diag(*blocks).to(dtype),
    )


def common(ranks: Sequence[int]) -> int:
    """Return the rank of all LoRAs, or 0 where they differ."""
    return ranks[0] if len(set(ranks)) == 1 else 0


def gradients(out: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of a weighted sum of the outputs, zeros where there are none."""
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)
    found = torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)
    pairs = zip(found, inputs, strict=True)
    return [torch.zeros_like(tensor) if grad is None else grad for grad, tensor in pairs]


def random_layer(
    ranks: Sequence[int],
    *,
    trained: Trained | None = "all",
    bias: bool = False,
    control: Control | None = None,
    d_in: int = 6,
    d_out: int = 5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> MixtureLinear:
    """Return an adapted linear layer whose LoRAs are not zero; `trained` None is frozen."""
    torch.manual_seed(seed)
    base = nn.Linear(d_in, d_out, bias=bias).requires_grad_(False)
    layer = MixtureLinear("layer", base, d_in, d_out, control or Control())
    for index, rank in enumerate(ranks):
        b = torch.randn(rank, d_out) / 2
        layer.bank.extend(torch.randn(rank, d_in), b, torch.randn(d_out), alpha=1.0 + index)
    if trained is not None:
        layer.bank.train_newest(trained)
    return layer.to(dtype)


def specified(layer: MixtureLinear, x: Tensor, stacks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what the layer should answer with the given a, b and w, and the scores."""
    (a, b, w), control = stacks, layer.control
    settings = {"combine": control.combine, "newcomer": control.newcomer}
    out, scores = reference.mix(x, a, b, w, layer.bank.spread, **settings)
    return layer.base(x) + out, scores


def kept_bytes(run: Callable[[], Tensor], module: nn.Module) -> int:
    """Return the bytes kept for backward: each storage once, the module's own left out."""
    own = [*module.parameters(), *module.buffers()]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    assert out.requires_grad
    return sum(kept.values())


class Quantised(nn.Module):
    """A linear that keeps small integers in a buffer, as quantised ones do."""

    packed: Tensor

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.in_features, self.out_features = d_in, d_out
        values = torch.arange(d_in * d_out, dtype=torch.int8).view(d_out, d_in)
        self.register_buffer("packed", values)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.packed.to(x.dtype) / 30).T


def alone(model: nn.Module, mixture: Mixture, index: int) -> Mixture:
    """Put one LoRA of a mixture into another model, at full weight."""
    single = inject(model, list(mixture.layers), Control(combine="sum"))
    for name, layer in mixture.layers.items():
        (a, b, w), rows = layer.bank.stacks(), layer.bank.rows(index)
        single.layers[name].bank.extend(a[rows], b[rows], w[index], layer.bank.alphas[index])
    return single


def tiny_model(model_type: str) -> Any:
    """Return a model of a type, with the same weights each time."""
    config = AutoConfig.for_model(model_type, **TINY[model_type])
    torch.manual_seed(0)
    family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return family.from_config(config).eval()


IDS = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DEPTH = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
NEOX_LIKE = {**IDS, **DEPTH, "intermediate_size": 20}
QWEN_LIKE = {**NEOX_LIKE, "num_key_value_heads": 1}
LLAMA_LIKE = {**QWEN_LIKE, "head_dim": 8}
BART = {
    f"{half}_{name}": size
    for half in ("encoder", "decoder")
    for name, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 20))
}
T5 = {"d_kv": 8, "d_ff": 20, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
TINY = {
    "bart": {**IDS, **BART, "d_model": 16, "decoder_start_token_id": 2, "forced_eos_token_id": 2},
    "falcon": {**IDS, **DEPTH},
    "gemma": LLAMA_LIKE,
    "gemma2": LLAMA_LIKE,
    "gemma3_text": LLAMA_LIKE,
    "gpt2": {**IDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "gpt_neox": NEOX_LIKE,
    "llama": LLAMA_LIKE,
    "mistral": LLAMA_LIKE,
    "opt": {**IDS, **DEPTH, "ffn_dim": 20, "word_embed_proj_dim": 16},
    "phi": NEOX_LIKE,
    "phi3": QWEN_LIKE,
    "qwen2": QWEN_LIKE,
    "qwen3": LLAMA_LIKE,
    "t5": {**IDS, **T5, "d_model": 16, "decoder_start_token_id": 0, "eos_token_id": 1},
}
"""Settings that make each model type tiny."""

COMBINES: tuple[Combine, ...] = ("attention", "sum", "mean")
