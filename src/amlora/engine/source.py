"""Where a base model's files are, and what can be told about them before anything is built.

Nothing in a model's folder is trusted: what is no file is refused before it is opened, and weights
must be in safetensors or GGUF, which hold values and no code.
"""

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from transformers.utils.hub import cached_file

from amlora import files
from amlora.engine.builtin import BUILT_IN, built_in_folder
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError, nearest

ADAPTER, CONFIG = "adapter_config.json", "config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
OBJECTS = (CONFIG, "generation_config.json", "tokenizer_config.json")
"""Files that hold a JSON object; transformers passes over some that are damaged."""
TEXTS = {".json", ".jinja", ".txt", ".model"}
LARGEST_TEXT = 256 << 20
"""Bytes; the largest tokenizers have some 40 MB."""
FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's files are, in the words of `from_pretrained`."""

    path: str
    gguf_file: str | None
    revision: str | None


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """What a model's files hold."""

    tensors: int
    values: int
    """Of all tensors together, at most."""
    shapes: Mapping[str, tuple[int, ...]]
    """By name; empty for GGUF, whose names are others."""
    kinds: Mapping[str, str]
    """The type of each tensor's values in the words of safetensors."""


def find_source(settings: ModelSettings) -> ModelSource:
    """Tell a built-in name, a GGUF file, a folder and a hub id apart.

    Raises:
        InputError: a name that looks like a path and does not exist, or a folder without the file.
    """
    name, gguf_file = settings.name, settings.gguf_file
    if name in BUILT_IN:
        return ModelSource(str(built_in_folder(name)), None, None)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf" and not gguf_file:
        return ModelSource(str(path.parent), path.name, None)
    if path.is_dir():
        if gguf_file and not (path / gguf_file).is_file():
            there = nearest(gguf_file, [file.name for file in path.glob("*.gguf")])
            raise InputError(f"model.gguf_file: no file {gguf_file!r} in {path}{there}.")
        return ModelSource(str(path), gguf_file or None, None)
    looks_like_path = name.startswith((".", "~", "/")) or name.count("/") > 1 or "\\" in name
    if looks_like_path or path.suffix == ".gguf":
        raise InputError(f"model.name: there is no folder or GGUF file {name!r}.")
    return ModelSource(name, gguf_file or None, settings.revision or None)


def commit(source: ModelSource) -> str:
    """Return the hub's commit that a loaded model came from, or "" for a folder."""
    if Path(source.path).is_dir():
        return ""
    cached = try_to_load_from_cache(source.path, CONFIG, revision=source.revision)
    return Path(cached).parent.name if isinstance(cached, str) else ""


def check_files(source: ModelSource) -> None:
    """Refuse a model whose files are not what they should be; links are followed, as in caches."""
    folder = Path(source.path)
    for path in [*folder.glob("*"), *folder.glob("additional_chat_templates/*")]:
        if not path.exists():  # a link to nowhere
            continue
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"model.name: {path} is no regular file.")
        if path.suffix in TEXTS and found.st_size > LARGEST_TEXT:
            raise InputError(
                f"model.name: {path} has {found.st_size} bytes; at most {LARGEST_TEXT} are read."
            )
    if source.gguf_file is not None:
        return
    if not folder.is_dir() and find(source, CONFIG) is None:
        return  # loading it says why it cannot be fetched
    for name in OBJECTS:
        if path := find(source, name):
            read_object(path)
    if adapter := find(source, ADAPTER):
        raise InputError(
            f"model.name: {adapter} is there, so this is an adapter or a model with one beside it,"
            " which would not be used; merge it into its model (peft: merge_and_unload), or remove"
            " that file."
        )


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of the model's, in which a number may be infinite."""
    try:
        value = json.loads(files.read_bytes(path, most=LARGEST_TEXT, follow=True))
    except (ValueError, RecursionError) as error:
        raise InputError(f"model.name: {path}: not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InputError(f"model.name: {path}: no JSON object.")
    return value


def find(source: ModelSource, name: str) -> Path | None:
    """Return a file of the model, fetched from the hub if need be; None where there is none."""
    path = cached_file(
        source.path,
        name,
        revision=source.revision or "main",
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if path is None else Path(path)


def read_stored(source: ModelSource, named: object) -> StoredWeights | None:
    """Return what the weights' files hold, told by their heads.

    `named` is the file that the model's config names, if any. None for a model on the hub whose
    files could not be found; loading it says why.

    Raises:
        InputError: there are no weights, only pickled ones, or a file outside of the folder.
    """
    if source.gguf_file is not None:
        path = find(source, source.gguf_file)
        if path is None:
            return None
        with path.open("rb") as file:
            head = file.read(16)
        if len(head) < 16 or head[:4] != b"GGUF":
            raise InputError(f"model.name: {path} is no GGUF file.")
        # Its second number is that of its tensors; a value takes at least a bit.
        tensors = int.from_bytes(head[8:], "little")
        return StoredWeights(tensors, 8 * path.stat().st_size, {}, {})
    paths = weight_files(source, named)
    if not paths:
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    kinds: dict[str, str] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no dict
                head = file.get_slice(name)
                shapes[name], kinds[name] = tuple(head.get_shape()), head.get_dtype()
    values = sum(map(math.prod, shapes.values()))
    return StoredWeights(len(shapes), values, shapes, kinds)


def weight_files(source: ModelSource, named: object) -> list[Path]:
    """Return a model's safetensors files; none where they could not be found on the hub."""
    if named is not None and not (isinstance(named, str) and ".safetensors" in named):
        raise InputError(
            f"model.name: {CONFIG}: transformers_weights is {named!r}, no safetensors."
        )
    for name in (WEIGHTS, INDEX) if named is None else (named,):
        path = find(source, name)
        if path is not None:
            return shards(source, path) if path.name.endswith(".json") else [path]
    if any(find(source, name) for name in PICKLED):
        raise InputError(
            f"model.name: {source.path!r} has its weights as a pickle (.bin), which can run code"
            " when it is read; convert it once where you trust it: AutoModelForCausalLM (or"
            f" AutoModelForSeq2SeqLM).from_pretrained({source.path!r}).save_pretrained(folder), and"
            " the tokenizer likewise."
        )
    if Path(source.path).is_dir():
        raise InputError(f"model.name: {source.path!r} has no weights: no {WEIGHTS} or {INDEX}.")
    return []


def shards(source: ModelSource, index: Path) -> list[Path]:
    """Return the files that an index names, all of them beside it."""
    named = read_object(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise InputError(f"model.name: {index}: no index of weights: weight_map is missing.")
    paths: list[Path] = []
    for name in sorted({*named.values()}):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(f"model.name: {index} names {name!r}, no safetensors file beside it.")
        path = find(source, name)
        if path is None:
            raise InputError(f"model.name: {index} names {name!r}, which is missing.")
        paths.append(path)
    return paths
