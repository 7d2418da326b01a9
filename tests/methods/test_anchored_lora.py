"""Anchored LoRAs: stages learn as ever, and each prompt is answered by its own stage's model."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from amlora.engine import route
from amlora.engine.batch import collate, target_logits
from amlora.engine.route import Router, vector_of
from amlora.errors import InputError
from amlora.methods.anchored_lora import AnchoredLoRA, AnchoredLoRASettings
from amlora.mixture.stages import Stages
from methods.learning import STAGES, answers, learn, make
from trained import load_base

COMBINES = ["sum", "attention"]


def anchored(folder: Path, **options: object) -> AnchoredLoRA:
    method = make(folder, "anchored_lora", **options)
    assert isinstance(method, AnchoredLoRA)
    return method


@pytest.mark.parametrize(
    ("name", "options"),
    [("inc_lora", {}), ("am_lora", {"sparsity": 0.0})],
)
def test_stages_learn_as_the_methods_below_do_bit_for_bit(any_folder, name, options):
    combine = "sum" if name == "inc_lora" else "attention"
    ours, theirs = anchored(any_folder, combine=combine), make(any_folder, name, **options)
    for stage in STAGES[:2]:
        assert learn(ours, stage) == learn(theirs, stage)
    assert theirs.mixture is not None
    expected = theirs.mixture.tensors()
    for key, tensor in ours.mixture.tensors().items():
        assert torch.equal(tensor, expected[key]), key


@pytest.mark.parametrize("mixing", ["hard", "soft"])
@pytest.mark.parametrize("combine", COMBINES)
def test_a_stages_answers_stay_bit_for_bit_what_they_were(any_folder, combine, mixing):
    method = anchored(any_folder, combine=combine, mixing=mixing)
    then = []
    for stage in STAGES:
        learn(method, stage, lr=5e-2)
        then.append(answers(method, stage))
    plain = load_base(any_folder)
    for index, stage in enumerate(STAGES):
        assert {row.route for row in method.readable(stage.rows, scoring=True)} == {
            tuple(float(k == index + 1) for k in range(4))
        }
        assert torch.equal(answers(method, stage), then[index])
        rows = collate(stage.rows, plain, share=1.0)
        assert (then[index] - target_logits(plain, rows).detach()).abs().max() > 0.5


def test_routes_are_remembered_until_so_many_tokens(llama_folder, monkeypatch):
    learned = anchored(llama_folder)
    learn(learned, STAGES[0])
    prompts = [row.prompt_ids for row in STAGES[1].rows]
    assert len(set(prompts)) == len(prompts) > 2
    router = Router(learned.backbone, learned.stages)
    monkeypatch.setattr(route, "REMEMBERED", len(prompts[0]) + 1)
    for ids in prompts:
        router.route(ids)
    assert 0 < len(router.found) <= 2


def test_a_prompt_whose_states_are_not_finite_is_refused(llama_folder):
    method = anchored(llama_folder)
    embedding: Any = method.backbone.model.get_input_embeddings()
    with torch.no_grad():
        embedding.weight[7, 0] = math.inf
    assert method.vector((5, 6)).isfinite().all()
    with pytest.raises(InputError, match=r"after 0 layers are not finite in torch\.float32"):
        method.vector((5, 7))


@pytest.mark.parametrize("combine", COMBINES)
def test_the_size_is_that_of_the_state_once_a_stage_has_ended(llama_folder, combine):
    method = anchored(llama_folder, combine=combine)
    sizes = []
    for stage in STAGES:
        method.begin(stage)
        method.end(stage)
        state = method.state().tensors.items()
        sizes.append(method.stored_parameters())
        # Today's selectors are the newest kept ones.
        assert sizes[-1] == sum(t.numel() for name, t in state if not name.endswith(".w"))
    planned = anchored(llama_folder, combine=combine)
    for stage, size in zip(STAGES, sizes, strict=True):
        planned.begin(stage)
        assert planned.stored_parameters() == size


def test_with_layers_the_statistic_is_of_the_frozen_models_states(any_folder):
    method, base = anchored(any_folder, feature_layers=1), load_base(any_folder)
    then = []
    for stage in STAGES[:2]:
        learn(method, stage, lr=5e-2)
        then.append(answers(method, stage))
        vectors = [vector_of(base, row.prompt_ids, 1) for row in stage.rows]
        torch.testing.assert_close(
            method.stages.means[stage.index], torch.stack(vectors).double().mean(0).float()
        )
    for index, stage in enumerate(STAGES[:2]):
        wanted = tuple(float(k == index + 1) for k in range(3))
        assert {row.route for row in method.readable(stage.rows, scoring=True)} == {wanted}
        assert torch.equal(answers(method, stage), then[index])


def test_more_layers_than_there_are_is_refused_at_once(any_folder):
    with pytest.raises(InputError, match=r"method\.feature_layers: .* with 2 layers, got 3"):
        anchored(any_folder, feature_layers=3)


def test_the_pages_sizes_are_those_of_the_formula():
    """SmolLM2-135M: D 576, query and value projections of 30 layers, 576 to 576 and to 192."""
    page = (Path(__file__).parents[2] / "docs" / "methods" / "anchored_lora.md").read_text("utf-8")
    lora = 30 * 8 * (576 + 576 + 576 + 192)
    full, diagonal = (
        Stages(AnchoredLoRASettings(covariance=kind).of_stages()) for kind in ("full", "diagonal")
    )
    per_task = full.size(1, 576) - full.size(0, 576)
    for count in (lora, per_task, full.size(0, 576), diagonal.size(0, 576)):
        assert f"{4 * count:,}" in page
