"""`anchored_lora` beside `am_lora`: what is compared, at smoke size."""

import pytest

from amlora.methods.am_lora import AMLoRA
from amlora.methods.anchored_lora import AnchoredLoRA

TASKS = 3


@pytest.fixture
def learned(bench) -> tuple[AMLoRA, list[AnchoredLoRA], dict[str, list]]:
    """The methods after their last stage, and the batches that they predict."""
    anchored = bench("anchored")
    with bench("subjects").main_subject("smoke") as subject:
        beside, methods = anchored.learners(subject)
    stages = anchored.stages_of(beside.backbone, TASKS)
    for method in (beside, *methods):
        anchored.learn(method, stages)
        method.end(stages[-1])
    return beside, methods, anchored.batches(stages)


def test_a_step_and_two_kinds_of_batches_are_compared_under_one_bar(bench):
    rows = list(bench("anchored").rows("smoke"))
    works = ("training step", "prediction, one stage", "prediction, all stages")
    assert [row.name for row in rows] == [
        f"anchored_lora {combine} / am_lora, {work}"
        for work in works
        for combine in ("sum", "attention")
    ]
    assert {(row.bar, row.direction) for row in rows} == {(1.05, "at most")}
    assert all(row.ratio > 0 and f"N={TASKS}" in row.detail for row in rows)


def test_rows_of_one_stage_or_of_all_are_routed_as_told(bench, learned):
    _, methods, batches = learned
    numbers = {what: [stage for stage, _ in batch] for what, batch in batches.items()}
    assert numbers == {"one stage": [3] * 6, "all stages": [1, 1, 2, 2, 3, 3]}
    for method in methods:
        for batch in batches.values():
            bench("anchored").check_routes(method, batch)
        wrong = [(1, row) for _, row in batches["one stage"]]
        with pytest.raises(AssertionError, match="were sent to"):
            bench("anchored").check_routes(method, wrong)


def test_a_prediction_tells_the_stage_of_every_prompt_anew(bench, learned):
    _, methods, batches = learned
    for method in methods:
        read = [row for _, row in batches["all stages"]]
        own = {row.prompt_ids: row.route for row in method.readable(read, scoring=True)}
        foreign = (1.0,) + (0.0,) * TASKS
        method.router.found = dict.fromkeys(own, (foreign, None))
        bench("anchored").prediction(method, read)()
        assert {ids: route for ids, (route, _) in method.router.found.items()} == own
        assert foreign not in own.values()
