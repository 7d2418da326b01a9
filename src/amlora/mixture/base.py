"""Which pretrained model a mixture belongs to: told by the weights of its adapted layers."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from amlora.errors import InputError
from amlora.mixture.inject import linear_sizes
from amlora.mixture.manifest import Manifest
from amlora.mixture.mixture import Mixture

Fingerprint = Callable[[nn.Module, Sequence[str]], str]
"""The hash of a model's named weights; the names are keys of its `state_dict`."""


def check_base(
    folder: Path, model: nn.Module, manifest: Manifest, fingerprint: Fingerprint
) -> None:
    """Compare a model with the one that stored skills were trained on.

    Raises:
        InputError: it lacks an adapted layer, or its weights there are others.
    """
    base = manifest.base
    for name in manifest.targets:
        if linear_sizes(find(model, name)) is None:
            raise InputError(
                f"{folder}: the model has no plain linear layer {name!r}; these skills belong to"
                f" {base.name!r} ({base.model_type})."
            )
    found = fingerprint(model, weight_names(manifest.targets))
    if found != base.fingerprint:
        raise InputError(
            f"{folder}: the model is not the one that these skills were trained on, {base.name!r}:"
            f" its weights have the fingerprint {found[:12]}, not {base.fingerprint[:12]}."
        )


def find(model: nn.Module, name: str) -> nn.Module:
    """Return the named module, or an empty one where there is none."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return nn.Module()


def weight_names(targets: Sequence[str]) -> list[str]:
    """Return the keys of the adapted layers' weights in the plain model's `state_dict`."""
    return [f"{name}.weight" for name in targets]


def plain_weights(mixture: Mixture) -> tuple[nn.Module, list[str]]:
    """Return the arguments of a fingerprint for a model whose layers are wrapped already.

    They are a module that holds the frozen layers under the names of the plain model, and the keys
    of their weights.
    """
    root = nn.Module()
    made: dict[str, nn.Module] = {}
    for name, layer in mixture.layers.items():
        parent, path = root, ""
        *above, leaf = name.split(".")
        for part in above:
            path += f".{part}"
            if path not in made:
                made[path] = nn.Module()
                parent.add_module(part, made[path])
            parent = made[path]
        parent.add_module(leaf, layer.base)
    return root, weight_names(list(mixture.layers))
