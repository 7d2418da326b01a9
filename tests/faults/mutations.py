"""Change a stored file as an accident or an adversary would; all of it decided by a seed."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load, save
from torch import Tensor

from hostile import broken, changed

DTYPES = (
    *(torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool),
    *(torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2),
)
NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e38, -1.0, 0.0, 1e-40)


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
    if path.suffix == ".safetensors" and chance.random() < 0.9:
        return changed_tensors(data, chance)
    if path.suffix == ".json" and chance.random() < 0.8:
        value = changed(json.loads(data), chance)
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        return "value", text.encode("utf-8", "surrogatepass") + b"\n"
    return "bytes", broken(data, chance)
