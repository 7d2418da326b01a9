"""Anchored LoRAs: stages learn as ever, and each prompt is answered by its own stage's model."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from amlora.engine import route
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row, decode
from amlora.engine.exact import exact_match, generated_match
from amlora.engine.generate import generate_ids, inference
from amlora.engine.prefix import NOTHING, shared_prefix
from amlora.engine.route import Router, vectors_of
from amlora.errors import InputError
from amlora.methods.anchored_lora import AnchoredLoRA, AnchoredLoRASettings
from amlora.methods.base import Method
from amlora.mixture.stages import Stages
from methods.learning import STAGES, answers, learn, make
from trained import load_base

COMBINES = ["sum", "attention"]
FOREIGN = [
    Row("none", str(i), (1, 30 + i, 50, *[45] * (2 + 2 * i)), (90, 2), "x") for i in range(2)
]


def anchored(folder: Path, **options: object) -> AnchoredLoRA:
    method = make(folder, "anchored_lora", **options)
    assert isinstance(method, AnchoredLoRA)
    return method


def all_learned(folder: Path, **options: object) -> AnchoredLoRA:
    """A method that has learned three stages with plain effect, at a high rate."""
    method = anchored(folder, **options)
    for stage in STAGES:
        learn(method, stage, lr=5e-2)
    return method


def logits(method: Method, rows) -> torch.Tensor:
    with torch.inference_mode():
        return target_logits(method.backbone, collate(rows, method.backbone, share=1.0))


def mixed(method: AnchoredLoRA) -> list[Row]:
    """Rows of all stages and of none, of different lengths, with their routes."""
    rows = [stage.rows[i] for i in range(2) for stage in STAGES]
    method.backbone.model.eval()
    return [*method.readable(rows, scoring=True), *method.readable(FOREIGN, scoring=True)]


def answered(method: AnchoredLoRA, rows: list[Row]) -> list[Row]:
    """Return the rows with gold answers: in turn what is generated for them, and for another."""
    with inference(method.backbone):
        made = [
            generate_ids(method.backbone, [row.prompt_ids], 6, routes=[row.route])[0]
            for row in rows
        ]
    golds = [made[i - i % 2] for i in range(len(rows))]
    return [
        dataclasses.replace(
            row, answer_ids=(*ids, method.backbone.end_id), gold=decode(method.backbone, ids)
        )
        for row, ids in zip(rows, golds, strict=True)
    ]


def decided(method: AnchoredLoRA, rows: list[Row]) -> tuple[list[bool], list[bool]]:
    """Return which rows one pass finds right, and which generating each alone does."""
    passed, _ = exact_match(method.backbone, rows, tokens_per_batch=256, max_new_tokens=8)
    made, _ = generated_match(method.backbone, rows, max_new_tokens=8)
    return [answer.hit for answer in passed], [answer.hit for answer in made]


@pytest.fixture(scope="module", params=COMBINES)
def learned(request, any_folder):
    """Read it only. Prompts unlike all of eight per stage are foreign at this rate."""
    return all_learned(any_folder, combine=request.param, reject=0.2)


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


def test_a_foreign_prompt_is_answered_by_the_base_model_bit_for_bit(learned, any_folder):
    rows = learned.readable(FOREIGN, scoring=True)
    assert {row.route for row in rows} == {(1.0, 0.0, 0.0, 0.0)}
    learned.backbone.model.eval()
    base = load_base(any_folder)
    expected = target_logits(base, collate(FOREIGN, base, share=1.0)).detach()
    assert torch.equal(logits(learned, rows), expected)


SOFT = [
    (0.0, 0.25, 0.75, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.0, 0.1, 0.3, 0.6),
    (1.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize("combine", COMBINES)
def test_rows_of_all_stages_in_one_batch_are_answered_as_each_alone(any_folder, combine):
    method = all_learned(any_folder, combine=combine, reject=0.2)
    method.backbone.model.double()
    rows = mixed(method)[:-1]  # all of one length: in float64 the models answer padding with NaN
    assert len({row.route for row in rows}) == 4
    blended = [dataclasses.replace(row, route=SOFT[i % 4]) for i, row in enumerate(rows)]
    for batch in (rows, blended):
        together = logits(method, batch)
        for index, row in enumerate(batch):
            torch.testing.assert_close(together[index : index + 1], logits(method, [row]))
    with torch.inference_mode():
        answer = collate(rows[:1], method.backbone, share=1.0)
        everything = [logits(method, [dataclasses.replace(rows[0], route=r)]) for r in SOFT]
    assert answer.rows[0].route == (0.0, 1.0, 0.0, 0.0)
    assert all((found - everything[0]).abs().max() > 1e-3 for found in everything[1:])


def test_an_answer_that_is_generated_keeps_the_route_of_its_prompt(learned):
    rows = mixed(learned)
    with inference(learned.backbone):
        together = generate_ids(
            learned.backbone,
            [row.prompt_ids for row in rows],
            6,
            routes=[row.route for row in rows],
        )
        alone = [
            generate_ids(learned.backbone, [row.prompt_ids], 6, routes=[row.route])[0]
            for row in rows
        ]
    assert together == alone
    # Step by step without a cache: each next token from a whole forward pass of its own.
    for row, made in zip(rows, alone, strict=True):
        ids: list[int] = []
        for _ in range(6):
            asked = dataclasses.replace(row, answer_ids=(*ids, 5))
            token = int(logits(learned, [asked])[0, len(ids)].argmax())
            if token in learned.backbone.end_ids:
                break
            ids.append(token)
        assert ids == made


def test_one_pass_decides_as_generating_each_row_alone(learned):
    rows = mixed(learned)
    passed, generated = decided(learned, answered(learned, rows))
    assert passed == generated
    assert True in passed


@pytest.mark.parametrize("combine", COMBINES)
def test_a_shared_start_is_shared_within_a_stage_only_and_changes_no_decision(
    llama_folder, combine
):
    method = all_learned(llama_folder, combine=combine)
    method.backbone.model.eval()
    routes = [(0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), *SOFT]
    rows = [
        Row("x", str(i), (1, *range(50, 62), 70 + i, 41), (90, 2), "x", route=routes[i % 6])
        for i in range(18)
    ]
    with inference(method.backbone):
        assert shared_prefix(method.backbone, rows[::6]).length == 13
        assert shared_prefix(method.backbone, rows) is NOTHING
    passed, generated = decided(method, answered(method, rows))
    assert passed == generated


def test_a_route_depends_on_the_prompt_alone(learned):
    rows = STAGES[1].rows
    others = [dataclasses.replace(row, answer_ids=(7, 2), task="?", gold="?") for row in rows]
    alone = [learned.readable([row], scoring=True)[0].route for row in others[::-1]][::-1]
    learned.router.found.clear()
    assert [row.route for row in learned.readable(rows, scoring=True)] == alone


def test_routes_are_remembered_until_so_many_tokens(learned, monkeypatch):
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
        vectors = [vectors_of(base, row.prompt_ids, (1,))[0] for row in stage.rows]
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
    selectors = 30 * (576 + 192)
    full, diagonal = (
        Stages(AnchoredLoRASettings(covariance=kind).of_stages()) for kind in ("full", "diagonal")
    )
    per_task = full.size(1, 576) - full.size(0, 576)
    for count in (lora, per_task, full.size(0, 576), diagonal.size(0, 576), selectors):
        assert f"{4 * count:,}" in page
