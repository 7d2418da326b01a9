"""PerTaskFT: each task has weights of its own, which no other task touches."""

import pytest
import torch

from methods.learning import STAGES, answers, learn, make

FORMS = pytest.mark.parametrize("trainable", ["all", "lora"])


@FORMS
def test_earlier_answers_stay_bit_identical(any_folder, trainable):
    method = make(any_folder, "per_task_ft", trainable=trainable)
    after = []
    for stage in STAGES:
        learn(method, stage)
        after.append(answers(method, stage))
    assert not torch.equal(answers(method, STAGES[0], told=False), after[0])
    for stage, before in zip(STAGES, after, strict=True):
        assert torch.equal(answers(method, stage), before)


@FORMS
def test_a_task_is_learned_as_if_it_were_the_only_one(llama_folder, trainable):
    method = make(llama_folder, "per_task_ft", trainable=trainable)
    for stage in STAGES[:2]:
        learn(method, stage)
    alone = make(llama_folder, "per_task_ft", trainable=trainable)
    learn(alone, STAGES[1])
    assert torch.equal(answers(method, STAGES[1]), answers(alone, STAGES[1]))


@FORMS
def test_a_task_that_is_not_learned_yet_is_answered_by_the_pretrained_model(any_folder, trainable):
    method = make(any_folder, "per_task_ft", trainable=trainable)
    before = answers(method, STAGES[2])
    learn(method, STAGES[0])
    assert not torch.equal(answers(method, STAGES[2], told=False), answers(method, STAGES[0]))
    assert torch.equal(answers(method, STAGES[2]), before)


@FORMS
def test_the_state_does_not_depend_on_the_task_that_was_asked_last(any_folder, trainable):
    method = make(any_folder, "per_task_ft", trainable=trainable)
    for stage in STAGES[:2]:
        learn(method, stage)
    states = []
    for task in ("one", "two", "three", None):
        method.route(task)
        states.append(method.state())
        assert method.stored_parameters() > 0
    for other in states[1:]:
        assert other.values == states[0].values
        assert other.tensors.keys() == states[0].tensors.keys()
        assert all(torch.equal(t, states[0].tensors[n]) for n, t in other.tensors.items())


@FORMS
def test_asking_the_same_task_again_copies_nothing(llama_folder, trainable):
    method = make(llama_folder, "per_task_ft", trainable=trainable)
    learn(method, STAGES[0])
    method.route("one")
    weights = [*method.backbone.model.parameters(), *method.backbone.model.buffers()]
    written = [(weight.data_ptr(), weight._version) for weight in weights]
    method.route("one")
    weights = [*method.backbone.model.parameters(), *method.backbone.model.buffers()]
    assert [(weight.data_ptr(), weight._version) for weight in weights] == written


@FORMS
def test_what_is_stored_grows_by_one_model_or_lora_per_task(llama_folder, trainable):
    method = make(llama_folder, "per_task_ft", trainable=trainable)
    stored = []
    for stage in STAGES:
        method.begin(stage)
        trained = sum(
            weight.numel() for group in method.parameters() for weight in group.parameters
        )
        stored.append(method.stored_parameters())
        method.end(stage)
        method.route(None)
        assert method.stored_parameters() == stored[-1]
    assert stored == [trained, 2 * trained, 3 * trained]


def test_it_needs_the_task_and_keeps_no_mixture(llama_folder):
    method = make(llama_folder, "per_task_ft", trainable="lora")
    learn(method, STAGES[0])
    assert method.needs_task_id and method.mixture is None
