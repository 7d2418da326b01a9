"""Which entries of a layer's input are tokens, and which are padding.

An encoder-decoder model pads two texts, and a layer may read either: in cross-attention the query
comes from the decoder, key and value from the encoder, and a layer that serves both kinds of
attention reads both in turn. So it is asked of each input: what the decoder's layers are given is
the decoder's, unless it is what the decoder itself was given from the encoder.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, Batch

Side = Literal["encoder", "decoder"]


class Padding:
    """Tells for each input of a layer where its tokens are; give it every batch beforehand."""

    def __init__(self, backbone: Backbone) -> None:
        self.decoder: nn.Module | None = None
        if backbone.family == "encoder-decoder":
            self.decoder = backbone.model.get_decoder()
        inside = set() if self.decoder is None else set(self.decoder.modules())
        modules = backbone.model.named_modules()
        self.inside = {name for name, module in modules if module in inside}
        self.masks: dict[Side, Tensor] = {}
        self.states: Tensor | None = None  # the encoder's, as the decoder was last given them

    @contextmanager
    def watched(self) -> Generator[None]:
        """Watch the forward passes inside; only there is anything known of their inputs."""
        if self.decoder is None:
            yield
            return
        hook = self.decoder.register_forward_pre_hook(self.note, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
            self.states = None

    def note(self, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Keep what the decoder is given from the encoder."""
        self.states = named.get("encoder_hidden_states")

    def begin(self, batch: Batch) -> None:
        """Make ready for the forward pass of a batch."""
        mask = batch.inputs["attention_mask"]
        if self.decoder is None:
            self.masks = {"decoder": mask}
        else:
            self.masks = {"encoder": mask, "decoder": (batch.labels != IGNORED).to(mask)}

    def side(self, name: str, given: Tensor) -> Side:
        """Tell whose tokens the layer of that name reads, from what it is given."""
        if self.decoder is None:
            return "decoder"
        states = self.states
        if name not in self.inside:
            return "encoder"
        # Some models flatten rows and tokens, which is another view of the same numbers.
        same = states is not None and given.data_ptr() == states.data_ptr()
        return "encoder" if same else "decoder"

    def mask(self, name: str, given: Tensor) -> Tensor:
        """Return (rows, tokens) 1 where the layer's input holds a token, else 0."""
        return self.masks[self.side(name, given)]
