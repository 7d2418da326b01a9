"""`anchored_lora` beside `am_lora` at N tasks: a training step, and predictions with their routing.

Both have their default settings, but for `combine`, and the same rows. A prediction is one forward
pass over a batch, from encoded rows to the logits of their answers; `anchored_lora` tells the stage
of every prompt in it anew, as it must for prompts that it never saw.
"""

from collections.abc import Callable, Iterator, Sequence

from learner import BATCH, step_of
from row import Row
from size import Size
from subjects import Subject, main_subject
from timing import pair
from words import made_up

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row as Encoded
from amlora.engine.generate import inference
from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from amlora.methods.anchored_lora import AnchoredLoRA, AnchoredLoRASettings
from amlora.methods.base import Stage
from amlora.mixture.route import only_stage

BAR = 1.05
INSTRUCTION, TEXT = 30, (20, 60)
"""Tokens that all prompts of a task start with, others in each task, and those of their texts."""
ROWS = 100
"""Of a task: enough for a limit at the default `reject`, which prompts are then compared with."""
PREDICTED = 2
"""Rows of each stage in a batch of all stages; a batch of one stage has as many in all."""

Batch = list[tuple[int, Encoded]]
"""Rows, each with the number of its own stage, 1 for the first."""


def rows(size: Size) -> Iterator[Row]:
    """Compare the sum and the attention, in a step and in both kinds of batches."""
    tasks, pairs = {"full": (15, 9), "quick": (15, 3), "smoke": (3, 1)}[size]
    with main_subject(size) as subject:
        beside, anchored = learners(subject)
    stages = stages_of(beside.backbone, tasks)
    for method in (beside, *anchored):
        learn(method, stages)
    detail, last = f"{subject.label}, N={tasks}", stages[-1]
    for method in anchored:
        yield compared(
            f"anchored_lora {method.settings.combine} / am_lora, training step",
            f"{detail}, {BATCH} rows",
            step_of(method, last),
            step_of(beside, last),
            pairs,
        )
    for method in (beside, *anchored):
        method.end(last)
    for what, batch in batches(stages).items():
        read = [row for _, row in batch]
        for method in anchored:
            check_routes(method, batch)
            yield compared(
                f"anchored_lora {method.settings.combine} / am_lora, prediction, {what}",
                f"{detail}, {len(read)} rows",
                prediction(method, read),
                prediction(beside, read),
                pairs,
            )


def compared(
    name: str, detail: str, ours: Callable[[], None], other: Callable[[], None], pairs: int
) -> Row:
    """Time `anchored_lora` and `am_lora` in turn, which do the same matrix products."""
    timed = pair(ours, other, pairs=pairs)
    tokens = f"{INSTRUCTION + TEXT[0]} to {INSTRUCTION + TEXT[1]} tokens"
    return Row(
        name=name,
        ratio=timed.ratio,
        bar=BAR,
        floor=1.0,
        detail=f"{detail} of {tokens}: {timed.first:.3f} s, {timed.second:.3f} s",
    )


def learners(subject: Subject) -> tuple[AMLoRA, list[AnchoredLoRA]]:
    """Return `am_lora`, and `anchored_lora` with the sum and with attention."""
    settings = [AnchoredLoRASettings(combine=combine) for combine in ("sum", "attention")]
    return AMLoRA(subject.load(), AMLoRASettings(), seed=0), [
        AnchoredLoRA(subject.load(), each, seed=0) for each in settings
    ]


def stages_of(backbone: Backbone, tasks: int) -> list[Stage]:
    """Return stages of one step, of tasks whose prompts can be told apart by their instruction."""
    return [
        Stage(
            index,
            f"task-{index}",
            made_up(backbone, rows=ROWS, instruction=INSTRUCTION, text=TEXT, seed=index),
            1,
        )
        for index in range(tasks)
    ]


def learn(method: AMLoRA, stages: Sequence[Stage]) -> None:
    """Begin the last stage and end all before it, without a step: what a step costs is the same."""
    *earlier, last = stages
    for stage in earlier:
        method.begin(stage)
        method.end(stage)
    method.begin(last)


def batches(stages: Sequence[Stage]) -> dict[str, Batch]:
    """Return a batch of the last stage, whose model has all LoRAs, and one of all stages.

    They are rows that the statistic is of, so none is foreign.
    """
    last, several = len(stages), len(stages) * PREDICTED
    return {
        "one stage": [(last, row) for row in stages[-1].rows[:several]],
        "all stages": [
            (stage.index + 1, row) for stage in stages for row in stage.rows[:PREDICTED]
        ],
    }


def check_routes(method: AnchoredLoRA, batch: Batch) -> None:
    """Check that every row is sent to its own stage; else another batch would be timed."""
    routed = method.readable([row for _, row in batch], scoring=True)
    found = [row.route and only_stage(row.route) for row in routed]
    wanted = [stage for stage, _ in batch]
    assert found == wanted, f"rows of stages {wanted} were sent to {found}"


def prediction(method: AMLoRA, read: Sequence[Encoded]) -> Callable[[], None]:
    """Return a forward pass over one batch, for which the stage of every prompt is told anew."""

    def run() -> None:
        if isinstance(method, AnchoredLoRA):
            method.router.found.clear()
        with inference(method.backbone):
            batch = collate(method.readable(read, scoring=True), method.backbone, share=1.0)
            target_logits(method.backbone, batch)

    return run
