"""Seeded damage to model folders and GGUF files: tensors, configs, tokenizers, and files as such.

Each function changes a folder in place and may draw from a random generator; `damage_folder` and
`damage_gguf` pick one by a seed and return its name.
"""

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hostile import broken, changed, replaced

WEIGHTS = "model.safetensors"
ODD: list[Any] = ["x", "", None, True, False, [], {}, [1], {"a": 1}, 0.5, 0, -1, "a/b"]
LARGE = [10**6, 10**9, 10**12, 10**30]

Damage = Callable[[Path, random.Random], None]
Tensors = dict[str, Tensor]


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value))


def of_tensors(change: Callable[[Tensors, list[str], random.Random], Tensors]) -> Damage:
    """Return the damage of a folder whose tensors are changed, some of which are drawn by name."""

    def damage(folder: Path, rng: random.Random) -> None:
        tensors = load_file(folder / WEIGHTS)
        made = change(tensors, rng.sample(sorted(tensors), rng.choice([1, 1, 2, 5])), rng)
        save_file({n: t.contiguous().clone() for n, t in made.items()}, folder / WEIGHTS)

    damage.__name__ = change.__name__
    return damage


@of_tensors
def lose_tensors(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    return {n: t for n, t in tensors.items() if n not in names}


@of_tensors
def lose_a_kind(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    kind = names[0].split(".")[-2]
    return {n: t for n, t in tensors.items() if n.split(".")[-2] != kind}


@of_tensors
def rename_tensors(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    change = rng.choice(
        [lambda n: f"base.{n}", lambda n: f"{n}_", lambda n: n.replace("weight", "weights")]
    )
    names = rng.choice([names, list(tensors)])
    return {change(n) if n in names else n: t for n, t in tensors.items()}


@of_tensors
def add_tensors(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    prefix = rng.choice(["extra.", "model.layers.7.", ""])
    return tensors | {f"{prefix}{n}2": tensors[n] for n in names}


@of_tensors
def reshape_tensors(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    for name in names:
        old = tensors[name]
        tensors[name] = rng.choice(
            [old[:-1], torch.cat([old, old]), old.flatten(), old[None], old[:0], old.flip(0)[1:]]
        )
    return tensors


@of_tensors
def retype_tensors(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool]
    kind = rng.choice([*kinds, torch.complex64, torch.float8_e4m3fn])
    return tensors | {n: tensors[n].to(kind) for n in names}


@of_tensors
def spoil_values(tensors: Tensors, names: list[str], rng: random.Random) -> Tensors:
    for name in names:
        tensors[name].view(-1)[0] = rng.choice([float("nan"), float("inf"), -float("inf")])
    return tensors


def change_config(folder: Path, rng: random.Random) -> None:
    write(folder, "config.json", changed(read(folder, "config.json"), rng))


def change_tokenizer(folder: Path, rng: random.Random) -> None:
    name = rng.choice(["tokenizer.json", "tokenizer_config.json"])
    write(folder, name, changed(read(folder, name), rng))


def grow_config(folder: Path, rng: random.Random) -> None:
    config = read(folder, "config.json")
    sizes = [name for name, value in config.items() if type(value) is int]
    config[rng.choice(sizes)] *= rng.choice([2, 100, 10**6])
    write(folder, "config.json", config)


FIELDS: list[tuple[str, Any]] = [
    ("attn_implementation", "owner/kernel"),
    ("_attn_implementation", "owner/kernel"),
    ("_attn_implementation_internal", "owner/kernel"),
    ("experts_implementation", "owner/kernel"),
    ("attn_implementation", {"": "owner/kernel"}),
    ("auto_map", {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}),
    ("quantization_config", {"quant_method": "gptq", "bits": 4}),
    ("quantization_config", {"quant_method": "nonsense"}),
    ("quantization_config", "x"),
    ("transformers_weights", "../model.safetensors"),
    ("transformers_weights", "adapter_model.bin"),
    ("dtype", "nonsense"),
    ("torch_dtype", "float16"),
    ("return_dict", False),
    ("output_attentions", True),
    ("output_hidden_states", True),
    ("is_encoder_decoder", True),
    ("is_encoder_decoder", False),
    ("is_decoder", True),
    ("tie_word_embeddings", True),
    ("tie_word_embeddings", False),
    ("num_labels", 10**9),
    ("per_layer_config", {"0": {"hidden_size": 7}}),
    ("fusion_config", {"x": True}),
    ("model_type", "gpt2"),
    ("model_type", "bert"),
    ("model_type", "nonsense"),
    ("architectures", ["BertModel"]),
    ("rope_parameters", {"rope_type": "nonsense"}),
    ("head_dim", 5),
    ("hidden_act", "nonsense"),
    ("feed_forward_proj", "nonsense"),
    ("configuration_files", ["config.9.0.0.json"]),
    ("eos_token_id", 10**6),
    ("decoder_start_token_id", 10**6),
]


def add_field(folder: Path, rng: random.Random) -> None:
    name, value = rng.choice(FIELDS)
    write(folder, "config.json", read(folder, "config.json") | {name: value})


def change_generation(folder: Path, rng: random.Random) -> None:
    names = ["eos_token_id", "pad_token_id", "decoder_start_token_id", "num_beams", "max_length"]
    value = rng.choice([*ODD, *LARGE, [2, "x"], [10**6], 7])
    old = read(folder, "generation_config.json")
    write(folder, "generation_config.json", old | {rng.choice(names): value})


def lose_words(folder: Path, rng: random.Random) -> None:
    whole = read(folder, "tokenizer.json")
    words = whole["model"]["vocab"]
    for word in rng.sample(sorted(words), rng.choice([1, 10, 200])):
        del words[word]
    write(folder, "tokenizer.json", whole)


def shift_ids(folder: Path, rng: random.Random) -> None:
    whole, by = read(folder, "tokenizer.json"), rng.choice([1, 1000, 2**31])
    words = whole["model"]["vocab"]
    whole["model"]["vocab"] = {word: token + by for word, token in words.items()}
    write(folder, "tokenizer.json", whole)


def add_words(folder: Path, rng: random.Random) -> None:
    whole = read(folder, "tokenizer.json")
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for word in ("<new>", "<pad>", "</s>")[: rng.choice([1, 3])]:
        token = {"id": len(whole["model"]["vocab"]) + 5, "content": word, "special": True}
        whole["added_tokens"].append(token | flags)
    write(folder, "tokenizer.json", whole)


def any_file(folder: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(path for path in folder.iterdir() if path.is_file()))


def lose_file(folder: Path, rng: random.Random) -> None:
    any_file(folder, rng).unlink()


def break_file(folder: Path, rng: random.Random) -> None:
    path = any_file(folder, rng)
    path.write_bytes(broken(path.read_bytes(), rng))


def flip_bits(path: Path, rng: random.Random, among: int) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 20])):
        data[rng.randrange(min(among, len(data)))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def flip_bits_of_a_file(folder: Path, rng: random.Random) -> None:
    flip_bits(any_file(folder, rng), rng, rng.choice([12, 3000, 10**9]))


def replace_file(folder: Path, rng: random.Random) -> None:
    replaced(any_file(folder, rng), rng)


def split_weights(folder: Path, rng: random.Random) -> None:
    """Make an index that is wrong in one of some ways, or none."""
    tensors = load_file(folder / WEIGHTS)
    names = sorted(tensors)
    half = {*names[::2]}
    (folder / WEIGHTS).unlink()
    save_file({n: tensors[n].clone() for n in names if n in half}, folder / "1.safetensors")
    save_file({n: tensors[n].clone() for n in names if n not in half}, folder / "2.safetensors")
    where: dict[str, Any] = {n: f"{1 if n in half else 2}.safetensors" for n in names}
    where[names[0]] = rng.choice(
        ["1.safetensors", "../1.safetensors", "/etc/passwd", "3.safetensors", 7, None, ""]
    )
    index = rng.choice([{"weight_map": where, "metadata": {}}, {"weight_map": where}, [where], {}])
    write(folder, "model.safetensors.index.json", index)


def pickle_weights(folder: Path, rng: random.Random) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def add_adapter(folder: Path, rng: random.Random) -> None:
    config = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "r": 4}
    write(folder, "adapter_config.json", rng.choice([config, {}, []]))
    if rng.random() < 0.5:
        (folder / "config.json").unlink()


FOLDER: list[Damage] = [
    *(lose_tensors, lose_a_kind, rename_tensors, add_tensors, reshape_tensors, retype_tensors),
    *(spoil_values, change_config, grow_config, change_config, add_field, add_field),
    *(change_generation, change_tokenizer, change_tokenizer, lose_words, shift_ids),
    *(add_words, break_file, lose_file, flip_bits_of_a_file, replace_file, split_weights),
    *(pickle_weights, add_adapter),
]


def damage_folder(folder: Path, seed: int) -> str:
    """Damage a model's folder; each kind of damage has its turn."""
    damage = FOLDER[seed % len(FOLDER)]
    damage(folder, random.Random(seed))
    return damage.__name__


def cut_gguf(path: Path, rng: random.Random) -> None:
    os.truncate(path, int(path.stat().st_size * rng.choice([0, 0.001, 0.1, 0.5, 0.999])))


def flip_head(path: Path, rng: random.Random) -> None:
    flip_bits(path, rng, rng.choice([24, 1000, 4000]))


def flip_anywhere(path: Path, rng: random.Random) -> None:
    flip_bits(path, rng, 10**9)


NUMBERS = [b"block_count", b"embedding_length", b"feed_forward_length", b"attention.head_count"]


def change_number(path: Path, rng: random.Random) -> None:
    """Change a number of the head: a key, its type (4 bytes), its value."""
    data = bytearray(path.read_bytes())
    key = rng.choice([*NUMBERS, b"vocab_size", b"eos_token_id", b"context_length"])
    at = data.index(key) + len(key) + 4
    (old,) = struct.unpack_from("<I", data, at)
    new = rng.choice([0, old + 1, max(old - 1, 0), old * 100, 10**6, 2**32 - 1])
    struct.pack_into("<I", data, at, new)
    path.write_bytes(data)


def change_counts(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    at = rng.choice([8, 16])
    (old,) = struct.unpack_from("<Q", data, at)
    struct.pack_into("<Q", data, at, rng.choice([0, old - 1, old + 1, 2**20, 2**62]))
    path.write_bytes(data)


def rename_in_gguf(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    names = [b"attn_q", b"ffn_up", b"token_embd", b"output_norm", b"blk.0", b"llama", b"gpt2"]
    name = rng.choice([*names, b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges"])
    path.write_bytes(data.replace(name, name[:-1] + b"z", rng.choice([1, -1])))


GGUF: list[Damage] = [
    *(cut_gguf, flip_head, flip_anywhere, change_number, change_number, change_counts),
    rename_in_gguf,
]


def damage_gguf(path: Path, seed: int) -> str:
    """Damage a GGUF file; each kind of damage has its turn."""
    damage = GGUF[seed % len(GGUF)]
    damage(path, random.Random(seed))
    return damage.__name__
