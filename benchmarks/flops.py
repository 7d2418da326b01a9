"""Count the multiply-adds of a model's linear layers, frozen ones and LoRAs.

Attention's own products (scores, and values weighed by them) are left out, as is usual: at the
lengths of prompts they are a few per cent.
"""

from dataclasses import dataclass

from torch import nn

from amlora.engine.backbone import Backbone
from amlora.mixture.inject import find_targets, linear_sizes


@dataclass(frozen=True, slots=True)
class Products:
    """Multiply-adds of a frozen model; LoRA rows are counted beside them."""

    body: int
    """A token: all linear layers but the head."""
    head: int
    """A position that goes through the language-model head."""
    adapted: int
    """D_in + D_out over all adapted projections: one LoRA row's A x and B z, a token."""

    def forward(self, tokens: int, targets: int, *, rows: int = 0) -> int:
        """Return the floating-point operations of a forward pass.

        Args:
            tokens: that the model reads.
            targets: positions that go through the head.
            rows: LoRA rows of each adapted layer, N * R.
        """
        return 2 * (tokens * (self.body + rows * self.adapted) + targets * self.head)

    def training(self, tokens: int, targets: int, *, rows: int, trained: int) -> int:
        """Return the floating-point operations of a forward and a backward pass.

        Frozen layers are counted twice, for outputs and for gradients of inputs, and so are LoRA
        rows; trained rows a third time for their own gradients.
        """
        per_token = 2 * self.body + (2 * rows + trained) * self.adapted
        return 2 * (tokens * per_token + 2 * targets * self.head)


def shapes(backbone: Backbone) -> list[tuple[int, int]]:
    """Return (D_in, D_out) of every linear layer but the head, adapted ones as well."""
    head = backbone.model.get_output_embeddings()
    linears = (
        module
        for module in backbone.model.modules()
        if isinstance(module, nn.Linear) and module is not head
    )
    return [(module.in_features, module.out_features) for module in linears]


def count(backbone: Backbone) -> Products:
    """Count a model that no method has wrapped yet; query and value are what will be adapted."""
    model = backbone.model
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    sizes = (
        linear_sizes(model.get_submodule(name))
        for name in find_targets(model, model.config.model_type)
    )
    return Products(
        body=sum(d_in * d_out for d_in, d_out in shapes(backbone)),
        head=head.in_features * head.out_features,
        adapted=sum(sum(size) for size in sizes if size),
    )
