"""Change a stored file as an accident or an adversary would; all of it decided by a seed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

RAW = (
    *("null", "true", "-1", "0", "1.5", "1e308", "3e38", "-1e-300", "1e400", "NaN", "-Infinity"),
    *("9" * 5000, "2147483648", "-9223372036854775809", "[]", "{}", '""', '"1"', "[[]]", "[null]"),
    *('"../../../etc/passwd"', '"/dev/zero"', r'"\ud800"', r'"\u001b[31m\n"', r'"\u0000"'),
    *(
        '"' + "x" * 100_000 + '"',
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
    ),
)
"""What may stand in place of any value, as JSON text."""
MARK = "a value that no file of ours holds"
SPARSE = 20 << 30  # bytes
DTYPES = (
    *(torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool),
    *(torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2),
)
NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e38, -1.0, 0.0, 1e-40)


def changed_bytes(data: bytes, chance: Random) -> tuple[str, bytes]:
    """Flip a bit, cut, repeat, insert or blank."""
    place = chance.randrange(len(data) + 1)
    kind = chance.choice(("flip", "cut", "repeat", "insert", "blank", "empty"))
    if kind == "flip" and data:
        place = chance.randrange(len(data))
        return kind, data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[
            place + 1 :
        ]
    if kind == "insert":
        return kind, data[:place] + chance.randbytes(chance.choice((1, 8, 1000))) + data[place:]
    if kind == "blank":
        return kind, data[:place] + bytes(len(data) - place)
    return kind, {"cut": data[:place], "repeat": data + data}.get(kind, b"")


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Return every container of a JSON value with every key of it."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else range(len(value))
    return [(value, key) for key in keys] + [pair for key in keys for pair in nodes(value[key])]


def changed_json(data: bytes, chance: Random) -> tuple[str, bytes]:
    """Replace, remove, double or add a value anywhere in a JSON file."""
    value = json.loads(data)
    found = nodes(value)
    if not found:
        return "whole", chance.choice(RAW).encode()
    holder, key = chance.choice(found)
    kind = chance.choice(("replace", "replace", "replace", "remove", "add", "number"))
    raw = chance.choice(RAW)
    if kind == "remove":
        del holder[key]
    elif kind == "add":
        holder.append(MARK) if isinstance(holder, list) else holder.update({"news": MARK})
    elif kind == "number" and isinstance(holder[key], int | float):
        holder[key] = chance.choice((-holder[key], holder[key] + 1, holder[key] * 1000, 10**18))
    else:
        holder[key] = MARK
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return f"{kind} {key!r} ({raw[:20]})", text.replace(f'"{MARK}"', raw).encode() + b"\n"


def changed_tensor(tensor: Tensor, chance: Random) -> tuple[str, Tensor]:
    """Change a tensor's dtype, shape or numbers."""
    kind = chance.choice(("dtype", "rows", "columns", "more", "flat", "none", "numbers", "numbers"))
    if kind == "dtype":
        wanted = chance.choice(DTYPES)
        return str(wanted), tensor.to(wanted)
    if kind == "numbers" and tensor.numel():
        new, number = tensor.clone(), chance.choice(NUMBERS)
        if not tensor.is_floating_point():
            number = chance.choice((0, -1, 2**40))
        flat = new.view(-1)
        flat[chance.randrange(len(flat)) if chance.random() < 0.7 else slice(None)] = number
        return f"holds {number}", new
    shapes: dict[str, Callable[[], Tensor]] = {
        "rows": lambda: tensor[1:] if tensor.ndim else tensor,
        "columns": lambda: tensor[..., 1:] if tensor.ndim else tensor,
        "more": lambda: tensor[None],
        "flat": lambda: tensor.flatten(),
    }
    return kind, shapes.get(kind, lambda: tensor.new_zeros(0))().contiguous()


def changed_tensors(data: bytes, chance: Random) -> tuple[str, bytes]:
    """Change, remove, rename, swap or add a tensor of a safetensors file."""
    tensors = load(data)
    if not tensors:
        return "add", save({"x": torch.zeros(1)})
    name = chance.choice(sorted(tensors))
    kind = chance.choice(("change", "change", "change", "remove", "rename", "swap", "add"))
    told = kind
    if kind == "change":
        told, tensors[name] = changed_tensor(tensors[name], chance)
    elif kind == "add":
        tensors[chance.choice(("x", "", "\x1b[31m", name + ".x"))] = torch.zeros(3)
    elif kind == "swap":
        other = chance.choice(sorted(tensors))
        tensors[name], tensors[other] = tensors[other].clone(), tensors[name].clone()
    else:
        tensor = tensors.pop(name)
        if kind == "rename":
            tensors[name[::-1]] = tensor
    return f"{told}: {name!r}", save(tensors)


def changed_file(path: Path, chance: Random) -> tuple[str, bytes]:
    """Return what becomes of a file's bytes that its kind would read, and how."""
    data = path.read_bytes()
    if chance.random() < 0.1:
        return changed_bytes(data, chance)
    if path.suffix == ".json":
        return changed_json(data, chance)
    return (changed_tensors if path.suffix == ".safetensors" else changed_bytes)(data, chance)


def replaced(path: Path, outside: Path, chance: Random) -> str:
    """Put something that is no regular file, or far too large, in a file's place."""
    kind = chance.choice(("gone", "link", "zero", "pipe", "folder", "sparse"))
    if kind == "sparse":
        os.truncate(path, SPARSE)
        return kind
    data = path.read_bytes()
    path.unlink()
    if kind == "link":
        outside.write_bytes(data)
        path.symlink_to(outside)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    return kind
