"""States behind the first frozen layers: those of the model itself, whatever was learned."""

from typing import Any

import pytest
import torch

from amlora.engine.backbone import Backbone
from amlora.engine.load import load_backbone
from amlora.engine.route import Router, first_stack, layers_of, states_after, vector_of
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.mixture.stages import Stages, StageSettings
from trained import load_base, logits, trained

IDS = (1, 30, 45, 60, 77, 102)


def whole(backbone: Backbone) -> tuple[torch.Tensor, ...]:
    """All states (1, tokens, D) of a pass through the whole stack, the embeddings first."""
    stack = first_stack(backbone)
    with torch.no_grad():
        return stack(input_ids=torch.tensor([IDS]), output_hidden_states=True).hidden_states


def test_states_are_those_of_a_whole_pass_bit_for_bit(any_folder):
    backbone = load_base(any_folder)
    expected = whole(backbone)
    assert torch.equal(states_after(backbone, IDS, 1), expected[1][0])
    # What a whole pass calls the last states went through the final norm as well.
    kept: list[torch.Tensor] = []

    def keep(_: object, __: object, out: Any) -> None:
        kept.append(out[0] if isinstance(out, tuple) else out)

    hook = layers_of(first_stack(backbone))[1].register_forward_hook(keep)
    whole(backbone)
    hook.remove()
    assert torch.equal(states_after(backbone, IDS, 2), kept[0][0])


def test_loras_change_nothing_of_them(any_folder):
    backbone, mixture = trained(any_folder, combine="sum")
    backbone.routing = mixture.control.routing
    bare = load_base(any_folder)
    expected = [states_after(bare, IDS, depth) for depth in (1, 2)]
    for depth, theirs in enumerate(expected, 1):
        assert torch.equal(states_after(backbone, IDS, depth), theirs)
    assert not torch.equal(whole(backbone)[1][0], expected[0])


def test_the_model_is_as_it_was_afterwards(any_folder):
    backbone = load_base(any_folder)
    before = logits(backbone)
    backbone.model.train()
    states_after(backbone, IDS, 1)
    assert backbone.model.training and backbone.routing.now is None
    assert not any(module._forward_hooks for module in layers_of(first_stack(backbone)))
    backbone.model.eval()
    assert torch.equal(logits(backbone), before)


def test_dropout_is_off(any_folder):
    settings = ModelSettings(name=str(any_folder), precision="float32", device="cpu", dropout=0.5)
    backbone = load_backbone(settings)
    expected = states_after(backbone, IDS, 1)
    backbone.model.train()
    assert torch.equal(states_after(backbone, IDS, 1), expected)


def test_vectors_are_means_over_tokens(any_folder):
    backbone = load_base(any_folder)
    embedded = backbone.model.get_input_embeddings()(torch.tensor(IDS)).detach()
    zero, one = (vector_of(backbone, IDS, depth) for depth in (0, 1))
    assert torch.equal(zero, embedded.mean(0))
    assert torch.equal(one, states_after(backbone, IDS, 1).mean(0))
    swapped = (*IDS[:-2], IDS[-1], IDS[-2])
    torch.testing.assert_close(vector_of(backbone, swapped), zero)
    # States know the order of tokens.
    assert (vector_of(backbone, swapped, 1) - one).abs().max() > 1e-4


def test_vectors_ask_for_no_gradients_even_where_embeddings_do(any_folder):
    settings = ModelSettings(
        name=str(any_folder), precision="float32", device="cpu", checkpointing=True
    )
    backbone = load_backbone(settings)
    backbone.model.train()
    assert not any(vector_of(backbone, IDS, depth).requires_grad for depth in (0, 1))


def test_a_layer_that_is_not_there_is_one_clear_line(any_folder):
    with pytest.raises(InputError, match=r"feature_layers: .* with 2 layers, got 3"):
        states_after(load_base(any_folder), IDS, 3)


def test_routes_are_found_anew_when_a_stage_is_replaced_by_another(any_folder):
    backbone = load_base(any_folder)
    stages = Stages(
        StageSettings(mixing="hard", temperature=1.0, reject=0.0, covariance="full", shrinkage=None)
    )
    own = vector_of(backbone, IDS) + torch.eye(len(vector_of(backbone, IDS))) / 100
    for vectors in (own, own + 1):
        stages.add(vectors)
    router = Router(backbone, stages)
    assert router.route(IDS) == (0, 1, 0)
    stages.replace(0, own + 2)
    stages.replace(1, own)
    assert router.route(IDS) == (0, 0, 1)
