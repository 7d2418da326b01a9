"""Let a loaded model find the routes of its prompts itself, whoever calls it.

A route says which stages answer a prompt, or none, the base model; or how far each LoRA's gate is
open. `model.generate` is routed by its prompts, to the end of their answers; any other forward pass
by all of its input ids. A part of the model that is called by itself may not know the prompt, so it
is refused at the first adapted layer.
"""

import copy
import inspect
import threading
import weakref
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from amlora.engine.backbone import Backbone
from amlora.engine.route import Router
from amlora.errors import InputError
from amlora.mixture.layer import MixtureLinear


class Borrowed(Backbone):
    """A backbone for what hangs on its model: it keeps the model in no memory of its own.

    Without it a model would hold itself through its router, and be freed by the collector only.
    """

    def __init__(self, backbone: Backbone) -> None:
        vars(self).update(vars(backbone))
        self.own = weakref.ref(vars(self).pop("model"))

    @property
    def model(self) -> PreTrainedModel:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The model, as long as somebody else holds it; a ReferenceError when nobody does."""
        model = self.own()
        if model is None:
            raise ReferenceError("the model is gone; keep it as long as its router.")
        return model

    def __deepcopy__(self, memo: dict[int, Any]) -> "Borrowed":
        """Copy what belongs to the copy of the model, where that is what is being copied."""
        twin = memo[id(self)] = Borrowed.__new__(Borrowed)
        kept = {name: value for name, value in vars(self).items() if name != "own"}
        vars(twin).update(copy.deepcopy(kept, memo))
        twin.own = weakref.ref(memo.get(id(self.model), self.model))
        return twin


class Turn:
    """Routes the calls of one model, one at a time, whichever threads they come from.

    Routes that a caller has given already are left alone.
    """

    def __init__(self, backbone: Borrowed, router: Router) -> None:
        self.backbone = backbone
        self.router = router
        self.lock = threading.RLock()
        # Of a forward pass in progress, and the thread that it is in.
        self.open: tuple[int, ExitStack] | None = None

    def __reduce__(self) -> tuple[type["Turn"], tuple[Borrowed, Router]]:
        """Let a copied model have turns of its own: lock and calls in progress stay behind."""
        return Turn, (self.backbone, self.router)

    def attach(self) -> None:
        """Take every call from here on; methods, no functions within, so that a copy works."""
        model = self.backbone.model
        model.register_forward_pre_hook(self.before, with_kwargs=True)
        model.register_forward_hook(self.after, always_call=True)
        vars(model)["generate"] = self.generate
        for module in cast(Iterable[nn.Module], model.modules()):
            if isinstance(module, MixtureLinear):
                module.register_forward_pre_hook(self.within)

    def within(self, *_: object) -> None:
        """Refuse an adapted layer outside of a call that is routed: who answers was not said."""
        if self.backbone.routing.now is None:
            raise InputError(
                "the model: a part of it alone does not know which LoRAs answer; call the whole"
                " model, or model.generate."
            )

    def generate(self, inputs: Tensor | None = None, *rest: Any, **given: Any) -> Any:
        """Do what the model's own `generate` does, which knows the arguments.

        An InputError if there are no token ids to tell the routes by.
        """
        model: Any = self.backbone.model
        ids = given.get("input_ids") if inputs is None else inputs
        mask = given.get("attention_mask")
        with ExitStack() as stack:
            stack.enter_context(self.lock)
            if self.backbone.routing.now is None:
                # A mask as decoder-only models infer it, but where padding may end an answer.
                pad = self.backbone.pad_id
                if mask is None and ids is not None and pad not in self.backbone.end_ids:
                    mask = ids.ne(pad)
                stack.enter_context(self.routed(ids, mask))
            return type(model).generate(model, inputs, *rest, **given)

    def routed(self, ids: Tensor | None, mask: Tensor | None) -> AbstractContextManager[None]:
        """Return the context in which rows are answered by the routes of their token ids.

        Both are (rows, tokens), the mask 0 where a token is padding; None where none is. An
        InputError if `ids` is None, or a row is all padding.
        """
        if ids is None:
            raise InputError(
                "the model: these skills choose LoRAs by a prompt's token ids; give input_ids."
            )
        read = torch.ones_like(ids) if mask is None else mask
        rows = [row[own.bool()] for row, own in zip(ids, read, strict=True)]
        if not all(map(len, rows)):
            raise InputError("the model: a prompt without tokens cannot be told; give it a text.")
        routes = [self.router.route(tuple(row.tolist())) for row in rows]
        return self.backbone.routing.of(routes, ids.device)

    def before(self, module: nn.Module, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
        """Route a forward pass that nobody has routed, by all of its input ids.

        Raises:
            InputError: it goes on from a cache, whose prompt is not known, or has no token ids.
        """
        with ExitStack() as stack:
            stack.enter_context(self.lock)
            if self.backbone.routing.now is not None:
                return
            names = [*inspect.signature(type(module).forward).parameters][1:]  # without self
            named = {**dict(zip(names, args, strict=False)), **given}
            cache = named.get("past_key_values")
            if cache is not None and cache.get_seq_length():
                raise InputError(
                    "the model: a cache alone does not tell which LoRAs answer; use model.generate."
                )
            ids = named.get("input_ids", args[0] if args else None)
            stack.enter_context(self.routed(ids, named.get("attention_mask")))
            self.open = threading.get_ident(), stack.pop_all()

    def after(self, module: nn.Module, args: Any, out: Any) -> None:
        """End the routes of a forward pass, also of one that failed."""
        if self.open is None or self.open[0] != threading.get_ident():
            return
        (_, stack), self.open = self.open, None
        stack.close()
