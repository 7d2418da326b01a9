"""What every method must do, whatever it is, on both families."""

import dataclasses
import re

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import encode_rows
from amlora.engine.settings import TrainSettings
from amlora.engine.train import StageProgress, train_stage
from amlora.errors import InputError
from amlora.experiment.prepare import prepare
from amlora.methods import method_class
from amlora.methods.base import State
from amlora.methods.lora import LoRAMethod
from contract.conftest import CASES, LEARNING, USUAL

GROWING = [
    case
    for case in sorted(CASES)
    if issubclass(method_class(CASES[case]["name"]), LoRAMethod) and case != "sin_lora"
]
"""Cases that give each task a LoRA of its own."""


@pytest.fixture
def made(settings):
    """A run before its first step."""
    return prepare(settings)


@pytest.fixture(scope="session")
def learned(settings, case):
    """A run that has learned every stage, and the model's weights before; read it only."""
    made = prepare(settings)
    before = {n: p.detach().clone() for n, p in made.backbone.model.named_parameters()}
    learn(made, Accelerator(cpu=True), LEARNING.get(case, USUAL)[0])
    return made, before


@pytest.fixture
def rate(case):
    """A learning rate with which the case learns, and for how many steps."""
    return LEARNING.get(case, USUAL)


def train(made, accelerator, stage, lr):
    """Train a stage whose `begin` was called; return the losses."""
    progress = StageProgress()
    settings = TrainSettings(lr=lr, batch=4)
    train_stage(made.method, stage, settings, accelerator, progress, lambda *_: None)
    return progress.losses


def learn(made, accelerator, lr):
    """Learn every stage to its end, a few steps each."""
    for stage in made.stages:
        made.method.begin(stage)
        train(made, accelerator, stage, lr)
        made.method.end(stage)


def declared(made):
    """Return what the method says that it trains now."""
    return [weight for group in made.method.parameters() for weight in group.parameters]


def test_the_loss_falls_on_a_task_that_can_be_memorised(made, accelerator, rate):
    lr, steps = rate
    stage = dataclasses.replace(made.stages[0], steps=steps)
    made.method.begin(stage)
    losses = train(made, accelerator, stage, lr)
    assert sum(losses[-4:]) < 0.6 * sum(losses[:4])


def test_declared_parameters_move_and_no_others_do_in_any_stage(made, accelerator, rate):
    for stage in made.stages:
        made.method.begin(stage)
        learning = [weight.detach().clone() for weight in declared(made)]
        before = others(made)
        train(made, accelerator, stage, rate[0])
        pairs = zip(learning, declared(made), strict=True)
        assert not any(torch.equal(old, new) for old, new in pairs)
        after = others(made)
        assert [name for name, old in before.items() if not torch.equal(old, after[name])] == []
        made.method.end(stage)


def others(made) -> dict[str, Tensor]:
    """Return a copy of every number in the model that is no part of what is declared."""
    model = made.backbone.model
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: without(tensor, declared(made)) for name, tensor in tensors.items()}


def without(tensor: Tensor, weights: list[Tensor]) -> Tensor:
    """Return a flat copy of the numbers of a tensor whose memory is none of some weights'."""
    kept = torch.ones(tensor.numel(), dtype=torch.bool)
    for weight in weights:
        first = (weight.data_ptr() - tensor.data_ptr()) // tensor.element_size()
        kept[max(0, first) : max(0, first + weight.numel())] = False
    return tensor.detach().flatten()[kept]


def test_the_pretrained_weights_stay_bit_identical_unless_they_are_what_learns(learned):
    made, before = learned
    settings = made.settings.method.settings
    made.method.route(made.stages[-1].task if made.method.needs_task_id else None)
    after = dict(made.backbone.model.named_parameters())
    same = [name for name, old in before.items() if torch.equal(old, after[name])]
    assert same == ([] if made.method.trains_base(settings) else list(before))


@pytest.mark.parametrize("case", GROWING, indirect=True)
def test_earlier_loras_stay_bit_identical_while_a_later_task_is_learned(made, accelerator, rate):
    mixture = made.method.mixture
    old: dict[str, list[Tensor]] = {}
    for stage in made.stages:
        made.method.begin(stage)
        train(made, accelerator, stage, rate[0])
        made.method.end(stage)
        for name, layer in mixture.layers.items():
            now = layer.bank.stacks()[:2]
            for before, after in zip(old.get(name, []), now, strict=name in old):
                assert torch.equal(before, after[: len(before)])
                assert len(after) > len(before)
            old[name] = [stack.clone() for stack in now]
    assert len(mixture) == len(made.stages) == 2


def test_a_stage_gives_a_method_no_way_to_later_tasks(learned):
    made, _ = learned
    names = [task.name for task in made.stream.tasks]
    joint = made.method.schedule == "joint"
    assert len(made.stages) == (1 if joint else len(names))
    for stage, name in zip(made.stages, names, strict=False):
        own = names if joint else [name]
        assert {row.task for row in stage.rows} == set(own)
        assert [source.name for source in stage.sources] == own
        assert not any(source.dev or source.test for source in stage.sources)
        fields = {"index", "task", "rows", "steps", "sources", "prefix", "form", "own"}
        assert set(stage.__dict__) == fields
        assert stage.own is None  # borders are told: all rows are its own


def test_restored_state_gives_the_same_answers(settings, learned):
    made, _ = learned
    other = prepare(settings)
    other.method.restore(made.method.state())
    for index in range(len(made.stream.tasks)):
        assert torch.equal(logits(made, index), logits(other, index))


def test_a_state_whose_tensors_fit_nothing_is_refused_and_named(settings, learned):
    state, method = learned[0].method.state(), prepare(settings).method
    method.restore(state)
    names = sorted(name for name, tensor in state.tensors.items() if tensor.numel())
    changes = {
        "missing": None,
        "shape": lambda tensor: tensor[None],
        "dtype": lambda tensor: tensor.to(torch.complex64),
        "not finite": lambda tensor: tensor.clone().fill_(torch.nan),
    }
    for name in names[:: max(1, len(names) // 8)]:
        tensor = state.tensors[name]
        for kind, change in changes.items():
            others = {key: each for key, each in state.tensors.items() if key != name}
            if change is not None:
                if kind == "not finite" and not tensor.is_floating_point():
                    continue
                others[name] = change(tensor)
            elif name == "former":
                continue  # it comes with the second stage
            with pytest.raises(InputError, match=re.escape(name.split("/", 1)[-1])):
                method.restore(State(others, state.values))


def test_a_state_whose_values_fit_nothing_is_refused_and_named(settings, learned):
    state, method = learned[0].method.state(), prepare(settings).method
    for name, value in state.values.items():
        rest = {key: each for key, each in state.values.items() if key != name}
        for others in (rest, {**rest, name: {"x": 1}}, {**rest, name: -1.5}):
            with pytest.raises(InputError, match=name):
                method.restore(State(state.tensors, others))
        assert value is not None


def test_rows_become_longer_by_as_many_tokens_as_the_method_says(learned):
    made, _ = learned
    made.method.route(made.stages[-1].task if made.method.needs_task_id else None)
    rows = made.scored[-1]
    read = made.method.readable(rows, scoring=True)
    longer = {len(a.prompt_ids) - len(b.prompt_ids) for a, b in zip(read, rows, strict=True)}
    assert longer == {made.method.soft_tokens(len(made.stages))}


def test_a_tasks_name_changes_no_answer(learned):
    made, _ = learned
    for index, task in enumerate(made.stream.tasks):
        renamed = dataclasses.replace(task, name="something else")
        rows = encode_rows(made.backbone, renamed, task.test, prefix="off", form="full")[0]
        assert {row.task for row in rows} == {"something else"}
        assert torch.equal(logits(made, index), logits(made, index, rows))


def logits(made, index, rows=None):
    """Return the logits of a few of a task's rows, or of others that are said to be that task's."""
    method, name = made.method, made.stream.tasks[index].name
    method.route(name if method.needs_task_id else None)
    made.backbone.model.eval()
    with torch.inference_mode():
        read = method.readable((rows or made.scored[index])[:3], scoring=True)
        return target_logits(made.backbone, collate(read, made.backbone, share=1.0))
