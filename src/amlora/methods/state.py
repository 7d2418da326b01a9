"""What of a method survives a kill: tensors, plain values, and how they are checked and put back.

A method names what it must remember, once, where it makes it (`Method.keep`, `keep_tensors`,
`keep_value`). Nothing that is read from a checkpoint is trusted because its hash is right: names,
shapes, dtypes and finite values are checked here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from amlora.errors import InputError
from amlora.formats import plain, typed
from amlora.mixture.tensors import Shape, check_tensor

Kind = TypeVar("Kind")
Like = Shape | Tensor
"""What a stored tensor must be: of a shape, in float32; or of a tensor's shape and dtype."""


@dataclass
class State:
    """What a checkpoint holds of a method: tensors for safetensors, plain values for JSON."""

    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def take(self, name: str, like: Like) -> Tensor:
        """Return a tensor.

        Raises:
            InputError: it is missing, has another shape or dtype, or is not finite.
        """
        if name not in self.tensors:
            raise InputError(f"{name}: missing from the stored state.")
        shape, dtype = (like.shape, like.dtype) if isinstance(like, Tensor) else (like, "float32")
        check_tensor(name, self.tensors[name], tuple(shape), str(dtype).removeprefix("torch."))
        return self.tensors[name]

    def value(self, name: str, kind: type[Kind]) -> Kind:
        """Return a plain value as what it must be.

        Raises:
            InputError: it is missing or of another kind.
        """
        if name not in self.values:
            raise InputError(f"{name}: missing from the stored state.")
        return typed(name, self.values[name], kind)


class Kept(Protocol):
    """A part of a method that survives a kill."""

    def state(self) -> State:
        """Return what it remembers (no copy)."""
        ...

    def restore(self, state: State) -> None:
        """Take it back, frozen; InputError where the state does not fit."""
        ...


@dataclass
class KeptTensors:
    """An attribute that is a tensor, or a dict of tensors; see `Method.keep_tensors`."""

    owner: object
    name: str
    like: Callable[[], Like | Mapping[str, Like]]
    optional: bool
    device: torch.device

    def state(self) -> State:
        """Return them by name, those of a dict as "<name>/<key>"."""
        held: Tensor | dict[str, Tensor] | None = getattr(self.owner, self.name)
        if isinstance(held, Tensor):
            return State({self.name: held.detach()})
        return State({f"{self.name}/{key}": each.detach() for key, each in (held or {}).items()})

    def restore(self, state: State) -> None:
        """Take them back, as copies of the attribute's own."""
        like, start = self.like(), f"{self.name}/"
        several = isinstance(like, Mapping)
        stored = any(name == self.name or name.startswith(start) for name in state.tensors)
        if self.optional and not stored:
            setattr(self.owner, self.name, {} if several else None)
        elif several:
            held = {key: self.own(state, start + key, each) for key, each in like.items()}
            setattr(self.owner, self.name, held)
        else:
            setattr(self.owner, self.name, self.own(state, self.name, like))

    def own(self, state: State, name: str, like: Like) -> Tensor:
        """Return a copy of a stored tensor."""
        return state.take(name, like).to(self.device, copy=True)


@dataclass
class KeptValue:
    """An attribute of plain values or of dataclasses of them; see `Method.keep_value`."""

    owner: object
    name: str
    kind: type[Any]

    def state(self) -> State:
        """Return it as JSON has it."""
        return State(values={self.name: plain(getattr(self.owner, self.name))})

    def restore(self, state: State) -> None:
        """Take it back."""
        setattr(self.owner, self.name, state.value(self.name, self.kind))
