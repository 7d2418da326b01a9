"""Which earlier skills a new one uses."""

from dataclasses import replace

import pytest
import torch

from amlora.engine.encode import Row
from amlora.engine.generate import generate_ids
from amlora.engine.route import BASE_ALONE, Router, vector_of
from amlora.experiment.reporter import Silent
from amlora.experiment.stop import Stop
from amlora.methods.lora import LoRASettings, add_mixture
from amlora.mixture.stages import Stages, StageSettings
from amlora.skills.lesson import Used
from amlora.skills.settings import LearnSettings
from amlora.skills.train import train_skill
from amlora.skills.uses import BASE, Answered, choose, choose_uses, own_places
from trained import load_base

SETTINGS = LearnSettings(lora=LoRASettings(rank=4, alpha=8.0), batch=4, lr=3e-2, steps=24)
NAMES = ("first", "second")


def task(name, start, answers, count=16):
    """Rows whose prompts begin with a token of their own; the answer follows from the last one."""
    return [
        Row(name, str(i), (1, start, start + 1 + i % 5, 60 + i % 2), (answers[i % 2], 2), "x")
        for i in range(count)
    ]


FIRST, SECOND = task("first", 100, (90, 91)), task("second", 140, (80, 81))
COPY = task("copy", 100, (90, 91), count=40)[16:]


@pytest.fixture(scope="module", params=["llama", "t5"])
def skilled(request, llama_folder, t5_folder, tmp_path_factory):
    """A model with two skills, each learned on the base alone, and what routes to them."""
    backbone = load_base(llama_folder if request.param == "llama" else t5_folder)
    learned = [
        train_skill(
            backbone,
            name=name,
            used=Used(),
            rows=rows,
            stop=[],
            settings=SETTINGS,
            work=tmp_path_factory.mktemp("work"),
            reporter=Silent(),
            stopper=Stop(),
        )
        for name, rows in zip(NAMES, (FIRST, SECOND), strict=True)
    ]
    mixture = add_mixture(backbone, SETTINGS.lora, "sum")
    tensors = {
        name: torch.cat([each.tensors[name] for each in learned]) for name in learned[0].tensors
    }
    for name, layer in mixture.layers.items():
        tensors[f"{name}.w"] = torch.zeros(2, layer.bank.w.shape[1])
    mixture.restore(list(NAMES), [4, 4], [8.0, 8.0], tensors)
    how = {"mixing": "hard", "temperature": 1.0, "reject": 0.0, "covariance": "full"}
    stages = Stages(StageSettings(**how, shrinkage=None))
    for rows in (FIRST, SECOND):
        stages.add(torch.stack([vector_of(backbone, row.prompt_ids) for row in rows]))
    return backbone, mixture, Router(backbone, stages)


def chosen(skilled, rows, settings=SETTINGS):
    backbone, mixture, router = skilled
    return choose_uses(backbone, mixture, router, NAMES, rows, settings, 2048)


def test_a_copy_of_an_earlier_task_uses_that_skill(skilled):
    found = chosen(skilled, COPY)
    assert found.names == ("first",), found.why
    assert found.losses["first"] < found.losses[BASE]
    assert found.why.startswith("first (base alone ") and found.why.endswith(": better)")
    assert {*found.scores} == {*found.losses} == {BASE, "all", "first"}


def test_a_task_that_the_base_model_knows_already_uses_nothing(skilled):
    prompts, routes = [row.prompt_ids for row in COPY], [BASE_ALONE] * len(COPY)
    said = generate_ids(skilled[0], prompts, 3, routes=routes)
    rows = [replace(row, answer_ids=tuple(ids)) for row, ids in zip(COPY, said, strict=True)]
    found = chosen(skilled, rows)
    assert found.names == (), found.why
    assert found.why.startswith("nothing (base alone ")


def test_what_the_nearest_skill_uses_is_used_too_also_where_its_own_skill_is_gone(skilled):
    backbone, mixture, router = skilled
    stages = Stages(router.stages.settings)
    stages.add(torch.stack([vector_of(backbone, row.prompt_ids) for row in FIRST]))
    mixture.teams = [(1, 0)]
    try:
        found = choose_uses(
            backbone, mixture, Router(backbone, stages), ["only"], COPY, SETTINGS, 2048
        )
        assert own_places(mixture, ["only"]) == {"only": 0, "second": 1}
    finally:
        mixture.teams = []
    assert found.names == ("second", "only"), found.why
    assert {*found.losses} == {BASE, "only"}  # all is the same


@pytest.mark.parametrize(("uses", "names"), [("none", ()), ("all", NAMES)])
def test_the_user_may_decide(skilled, uses, names):
    found = chosen(skilled, COPY, SETTINGS.replace(uses=uses))
    assert found.names == names and "as asked for" in found.why and not found.losses


def test_without_an_earlier_skill_there_is_nothing_to_use(skilled):
    found = choose_uses(skilled[0], None, None, (), COPY, SETTINGS.replace(uses="all"), 2048)
    assert found.names == () and found.why == "nothing (there is no earlier skill)"


def answered(*losses, hits=0.5):
    return Answered(list(losses), hits)


LOW, HIGH = (1.0, 1.1, 0.9, 1.0), (2.0, 2.1, 1.9, 2.1)
SIZES = {"near": 1, "all": 3}


@pytest.mark.parametrize(
    ("base", "near", "whole", "chosen", "why"),
    [
        (HIGH, LOW, HIGH, "near", "better"),
        (HIGH, HIGH, LOW, "all", "better"),
        (HIGH, (1.0, 1.0, 1.0, 1.1), LOW, "near", "better"),
        (LOW, HIGH, HIGH, None, "worse"),
        (LOW, LOW, HIGH, None, "not told apart"),
        ((1.0,), (0.1,), (0.2,), None, "not told apart"),
    ],
)
def test_the_best_is_taken_beyond_noise_and_else_the_smallest(base, near, whole, chosen, why):
    found = {"base": answered(*base), "near": answered(*near), "all": answered(*whole)}
    assert choose(found, SIZES) == (chosen, why)
