"""Tiny models of many families, random but seeded, each in a folder with a fitting tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    EncoderDecoderConfig,
    PreTrainedConfig,
    T5GemmaConfig,
    T5GemmaModuleConfig,
)

from tiny import VOCABULARY, tiny_llama, tiny_t5

WINDOW = 8
"""Tokens that sliding attention reaches back: far fewer than a prompt has."""
LLAMA_LIKE: dict[str, Any] = {
    **{"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"head_dim": 8, "max_position_embeddings": 512},
}
BERT_LIKE: dict[str, Any] = {
    k: v for k, v in LLAMA_LIKE.items() if k not in ("num_key_value_heads", "head_dim")
}
BART_LIKE: dict[str, Any] = {
    **{f"{half}_layers": 1 for half in ("encoder", "decoder")},
    **{f"{half}_attention_heads": 4 for half in ("encoder", "decoder")},
    **{f"{half}_ffn_dim": 48 for half in ("encoder", "decoder")},
    **{"vocab_size": VOCABULARY, "d_model": 32, "max_position_embeddings": 512},
    "forced_eos_token_id": None,
}
GEMMA_LIKE: dict[str, Any] = {**LLAMA_LIKE, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}
MAMBA_LIKE: dict[str, Any] = {
    **dict.fromkeys(("mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_chunk_size"), 8),
    **{"mamba_expand": 2, "mamba_n_groups": 1},
}
MIXED = ["linear_attention", "full_attention"]
SLIDING = ["sliding_attention", "full_attention"]
PLACES = [("period", 2), ("offset", 1)]


def t5gemma() -> PreTrainedConfig:
    """Make an encoder and a decoder of Gemma's layers, with cross-attention called `cross_attn`."""
    halves = [T5GemmaModuleConfig(**GEMMA_LIKE) for _ in range(2)]
    return T5GemmaConfig(encoder=halves[0], decoder=halves[1], vocab_size=VOCABULARY)


def t5gemma2() -> PreTrainedConfig:
    """Make its successor, one of whose projections reads the decoder's states and the encoder's."""
    config = AutoConfig.for_model("t5gemma2")
    for text in (config.encoder.text_config, config.decoder):
        change(text, {**GEMMA_LIKE, "layer_types": SLIDING})
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    change(config.encoder.vision_config, sizes)
    change(config.encoder, {"mm_tokens_per_image": 4})
    return change(config, {"vocab_size": VOCABULARY, "image_token_index": VOCABULARY - 1})


def bert2bert(width: int = 32) -> PreTrainedConfig:
    """Make two BERTs, both of which have a part called `encoder`."""
    reader, writer = BertConfig(**{**BERT_LIKE, "hidden_size": width}), BertConfig(**BERT_LIKE)
    return EncoderDecoderConfig.from_encoder_decoder_configs(reader, writer)


def change(config: PreTrainedConfig, values: dict[str, Any]) -> PreTrainedConfig:
    """Set some values of a config."""
    for name, value in values.items():
        setattr(config, name, value)
    return config


def of(model_type: str, **values: Any) -> Callable[[], PreTrainedConfig]:
    """Return what makes a config of a type."""
    return lambda: change(AutoConfig.for_model(model_type), values)


FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "bart": of("bart", **BART_LIKE),
    "bert": of("bert", **BERT_LIKE, is_decoder=True),
    "bert2bert": bert2bert,
    "bert2bert of two widths": lambda: bert2bert(48),
    "bert without is_decoder": of("bert", **BERT_LIKE),
    "falcon_h1": of("falcon_h1", **LLAMA_LIKE, **MAMBA_LIKE, mamba_d_ssm=64),
    "gemma2": of("gemma2", **GEMMA_LIKE, layer_types=SLIDING),
    "gemma3_text": of("gemma3_text", **GEMMA_LIKE, layer_types=SLIDING),
    "jamba": of(
        "jamba",
        **LLAMA_LIKE,
        **{f"{kind}_layer_{name}": n for kind in ("attn", "expert") for name, n in PLACES},
        **{"num_experts": 4, "mamba_dt_rank": 4, "mamba_d_state": 8},
    ),
    "lfm2": of(
        "lfm2", **{**LLAMA_LIKE, "num_hidden_layers": 3}, layer_types=["conv", MIXED[1], "conv"]
    ),
    "mamba": of("mamba", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=8),
    "minimax": of(
        "minimax", **LLAMA_LIKE, layer_types=MIXED, num_local_experts=4, sliding_window=None
    ),
    "mistral": of("mistral", **LLAMA_LIKE, sliding_window=WINDOW),
    "moshi": of("moshi", **LLAMA_LIKE, ffn_dim=48, sliding_window=WINDOW),
    "qwen3_next": of(
        "qwen3_next",
        **{**LLAMA_LIKE, "layer_types": MIXED, "num_experts": 4, "num_experts_per_tok": 2},
        **{"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
        **{"linear_num_value_heads": 4, "linear_num_key_heads": 2},
        **{"linear_key_head_dim": 8, "linear_value_head_dim": 8},
    ),
    "recurrent_gemma": of(
        "recurrent_gemma",
        **{**LLAMA_LIKE, "num_hidden_layers": 3, "num_key_value_heads": 1},
        lru_width=32,
        attention_window_size=WINDOW,
        block_types=["recurrent", "recurrent", "attention"],
    ),
    "roberta": of("roberta", **BERT_LIKE, is_decoder=True),
    "t5gemma": t5gemma,
    "t5gemma2": t5gemma2,
    "xlm": of("xlm", vocab_size=VOCABULARY, emb_dim=32, n_layers=2, n_heads=4),
}
TARGETS = {
    "jamba": ["in_proj", "v_proj"],
    "mamba": ["in_proj"],
    "moshi": ["linear"],
    "recurrent_gemma": ["linear_x", "linear_y", "down_proj"],
}
"""What is adapted, where a family's query and value are not known or are not all."""


def save_family(name: str, folder: Path) -> Path:
    """Save a model of a family and its tokenizer in `folder`, which may be new."""
    config = FAMILIES[name]()
    # The tokenizers' own ids. Some decoders leave padding out, so they do not start from it.
    two_sided = config.is_encoder_decoder
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    if two_sided:
        ids = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 2}
    for part in [config, *vars(config).values()]:
        if isinstance(part, PreTrainedConfig):
            change(part, ids)
    (tiny_t5 if two_sided else tiny_llama)(folder)
    for stale in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / stale).unlink()
    torch.manual_seed(0)
    model = (AutoModelForSeq2SeqLM if two_sided else AutoModelForCausalLM).from_config(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.15)
    model.save_pretrained(folder)
    return folder
