"""What stored tensors must be: names, dtype, shape and finite values.

A right hash says that a file is what somebody wrote, not that it can be used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from amlora.errors import InputError

Shape = tuple[int | None, ...]
"""None: of any size."""
Dtype = Literal["float16", "bfloat16", "float32", "float64"]
"""Of LoRAs and selectors as they are stored."""


def check_tensors(
    where: Path | str, tensors: Mapping[str, Tensor], wanted: Mapping[str, Shape], dtype: str
) -> None:
    """Refuse a file whose tensors have other names, shapes or dtypes, or are not finite."""
    if wrong := wanted.keys() ^ tensors.keys():
        raise InputError(f"{where}: the tensor {min(wrong)!r} is missing or unknown.")
    for name, shape in wanted.items():
        check_tensor(f"{where}: {name}", tensors[name], shape, dtype)


def present(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a stored tensor, or refuse that it is missing."""
    if name not in tensors:
        raise InputError(f"{name}: missing from what was stored.")
    return tensors[name]


def check_tensor(
    where: str, tensor: Tensor, shape: Shape, dtype: str, *, finite: bool = True
) -> None:
    """Refuse a tensor of another shape or dtype, or of values that are not finite in float32."""
    found, kind = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    pairs = zip(found, shape, strict=False)
    if len(found) != len(shape) or any(wanted not in (None, size) for size, wanted in pairs):
        sizes = ", ".join("any" if size is None else f"{size}" for size in shape)
        raise InputError(f"{where}: shape {found}, expected ({sizes}{',' * (len(shape) == 1)}).")
    if kind != dtype:
        raise InputError(f"{where}: dtype {kind}, expected {dtype}.")
    if finite and not tensor.float().isfinite().all():
        raise InputError(f"{where}: holds values that are not finite.")
