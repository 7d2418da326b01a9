"""Routing on a sample of real prompts' vectors, made by `benchmarks/router_sample.py`.

It fails where fewer prompts find their stage than did when the sample was made.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from amlora.mixture.stages import Stages, StageSettings

SAMPLE = Path(__file__).with_name("data") / "prompts.safetensors"
TASKS = ("mnli", "rte", "amazon", "yelp", "agnews", "yahoo")
KINDS = ("asked", "other words", "alone")


def learned(**given) -> tuple[Stages, dict[str, torch.Tensor]]:
    vectors = {name: tensor.float() for name, tensor in load_file(SAMPLE).items()}
    plain = {"mixing": "hard", "temperature": 1.0, "reject": 0.0, "covariance": "full"}
    stages = Stages(StageSettings(**{**plain, "shrinkage": None, **given}))
    for task in TASKS:
        both = torch.stack([vectors[f"{task}.{kind}"] for kind in ("train", "train alone")], 1)
        stages.add(both if stages.wide is not None else both[:, 0])
    return stages, vectors


def found(stages: Stages, vectors: dict[str, torch.Tensor], kind: str) -> int:
    """Count the test prompts, 20 a task, that go to their own stage."""
    return sum(
        weights.index(1.0) == 1 + place
        for place, task in enumerate(TASKS)
        for weights in map(stages.weights, stages.beliefs(vectors[f"{task}.{kind}"]))
    )


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({}, (108, 96, 77)),
        ({"shrinkage": 0.1}, (109, 96, 77)),
        ({"words": "any", "shrinkage": 0.1}, (109, 98, 89)),
        ({"words": "any", "shrinkage": 0.1, "reject": 0.01}, (109, 98, 85)),
    ],
    ids=["estimated", "sphere", "any words", "any words with limits"],
)
def test_as_many_real_prompts_find_their_stage_as_when_they_were_measured(given, right):
    """Of 120 as asked, in other words, and of the text alone; one may be lost by rounding."""
    stages, vectors = learned(**given)
    now = [found(stages, vectors, kind) for kind in KINDS]
    assert all(each >= then - 1 for each, then in zip(now, right, strict=True)), now
