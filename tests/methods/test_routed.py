"""Rows that are routed, to stages or by gates: alone or together, in one pass or generated."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row, decode
from amlora.engine.exact import score_rows
from amlora.engine.generate import generate_ids, inference
from amlora.engine.prefix import NOTHING, shared_prefix
from amlora.engine.settings import EvaluateSettings
from amlora.methods.base import Method
from methods.learning import STAGES, learn, make
from trained import load_base

COMBINES = ["sum", "attention"]
FOREIGN = [
    Row("none", str(i), (1, 30 + i, 50, *[45] * (2 + 2 * i)), (90, 2), "x") for i in range(2)
]
SOFT = [
    (0.0, 0.25, 0.75, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.0, 0.1, 0.3, 0.6),
    (1.0, 0.0, 0.0, 0.0),
]
"""Weights of stages 0 to 3."""


def all_learned(folder: Path, name: str, **options: object) -> Method:
    """A method that has learned three stages with plain effect, at a high rate."""
    method = make(folder, name, **options)
    for stage in STAGES:
        learn(method, stage, lr=5e-2)
    method.backbone.model.eval()
    return method


@pytest.fixture(scope="module", params=[*COMBINES, "gain_lora"])
def learned(request, any_folder) -> Method:
    """Read it only. Prompts unlike all of eight per stage are foreign at this rate."""
    if request.param == "gain_lora":
        return all_learned(any_folder, "gain_lora")
    return all_learned(any_folder, "anchored_lora", combine=request.param, reject=0.2)


def logits(method: Method, rows) -> Tensor:
    with torch.inference_mode():
        return target_logits(method.backbone, collate(rows, method.backbone, share=1.0))


def mixed(method: Method) -> list[Row]:
    """Rows of all stages and of none, of different lengths, with their routes."""
    rows = [stage.rows[i] for i in range(2) for stage in STAGES]
    return [*method.readable(rows, scoring=True), *method.readable(FOREIGN, scoring=True)]


def answered(method: Method, rows: list[Row]) -> list[Row]:
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


def decided(method: Method, rows: list[Row]) -> tuple[list[bool], list[bool]]:
    """Return which rows one pass finds right, and which generating each alone does."""
    passed, _ = score_rows(
        method.backbone, rows, EvaluateSettings(tokens_per_batch=256, max_new_tokens=8)
    )
    made, _ = score_rows(
        method.backbone, rows, EvaluateSettings(method="generate", max_new_tokens=8)
    )
    return [answer.hit for answer in passed], [answer.hit for answer in made]


def test_rows_in_one_batch_are_answered_as_each_alone(learned):
    rows = mixed(learned)
    assert len({row.route for row in rows}) >= 4
    together = logits(learned, rows)
    for index, row in enumerate(rows):
        alone = logits(learned, [row])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-3, atol=1e-3)


def test_an_answer_that_is_generated_keeps_the_route_of_its_prompt(learned):
    rows = mixed(learned)
    ids = [row.prompt_ids for row in rows]
    with inference(learned.backbone):
        together = generate_ids(learned.backbone, ids, 6, routes=[row.route for row in rows])
    # Step by step without a cache: each next token from a whole forward pass of its own.
    for row, made in zip(rows, together, strict=True):
        found: list[int] = []
        for _ in range(6):
            asked = dataclasses.replace(row, answer_ids=(*found, 5))
            token = int(logits(learned, [asked])[0, len(found)].argmax())
            if token in learned.backbone.end_ids:
                break
            found.append(token)
        assert found == made


def test_one_pass_decides_as_generating_each_row_alone(learned):
    passed, generated = decided(learned, answered(learned, mixed(learned)))
    assert passed == generated
    assert True in passed


def test_a_route_depends_on_the_prompt_alone(learned):
    rows = mixed(learned)
    others = [dataclasses.replace(row, answer_ids=(7, 2), task="?", route=None) for row in rows]
    if hasattr(learned, "router"):
        learned.router.found.clear()
    alone = [learned.readable([row], scoring=True)[0].route for row in others[::-1]][::-1]
    assert [row.route for row in rows] == alone


def test_a_foreign_prompt_is_answered_by_the_base_model_bit_for_bit(any_folder):
    method = all_learned(any_folder, "anchored_lora", reject=0.2)
    rows = method.readable(FOREIGN, scoring=True)
    assert {row.route for row in rows} == {(1.0, 0.0, 0.0, 0.0)}
    base = load_base(any_folder)
    expected = target_logits(base, collate(FOREIGN, base, share=1.0)).detach()
    assert torch.equal(logits(method, rows), expected)


@pytest.mark.parametrize("combine", COMBINES)
def test_rows_of_all_stages_and_blends_in_one_batch_are_answered_as_each_alone(any_folder, combine):
    method = all_learned(any_folder, "anchored_lora", combine=combine, reject=0.2)
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


@pytest.mark.parametrize("combine", COMBINES)
def test_a_shared_start_is_shared_within_a_stage_only_and_changes_no_decision(
    llama_folder, combine
):
    method = all_learned(llama_folder, "anchored_lora", combine=combine)
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
