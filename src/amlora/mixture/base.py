"""Which pretrained model a mixture belongs to: told by hashes of its weights and tokenizer."""

from pathlib import Path

from torch import nn

from amlora.errors import InputError
from amlora.mixture.inject import linear_sizes
from amlora.mixture.manifest import Base, Manifest


def check_base(folder: Path, model: nn.Module, manifest: Manifest, found: Base) -> None:
    """Compare a model with the one that stored skills were trained on.

    Args:
        folder: the skills folder.
        model: the model, without a mixture.
        manifest: says what the model must be.
        found: what the model is.

    Raises:
        InputError: it lacks an adapted layer, or its weights or its tokenizer are others.
    """
    base = manifest.base
    for name in manifest.targets:
        if linear_sizes(find(model, name)) is None:
            raise InputError(
                f"{folder}: the model has no plain linear layer {name!r}; these skills belong to"
                f" {base.name!r} ({base.model_type})."
            )
    for what, ours, theirs in (
        ("weights have", found.fingerprint, base.fingerprint),
        ("tokenizer has", found.tokenizer, base.tokenizer),
    ):
        if ours != theirs:
            raise InputError(
                f"{folder}: the model is not the one that these skills were trained on,"
                f" {base.name!r}: its {what} the fingerprint {ours[:12]}, not {theirs[:12]}."
            )


def find(model: nn.Module, name: str) -> nn.Module:
    """Return the named module, or an empty one where there is none."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return nn.Module()
