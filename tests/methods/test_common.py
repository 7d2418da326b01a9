"""What several methods do alike: go on from a state, weigh terms by task and step, keep rates."""

import dataclasses

import pytest
import torch

from amlora.methods.lora import LoRASettings
from methods.learning import STAGES, answers, learn, make, train, whole_and_resumed

STILL = LoRASettings(dropout=0)
GOING_ON = [
    *[(name, {"trainable": form}) for name in ("ewc", "per_task_ft") for form in ("all", "lora")],
    ("migu", {"trainable": "lora"}),
    ("replay", {}),
    ("arrow_lora", {}),
    ("inf_lora", {}),
    ("gain_lora", {}),
    ("l2p", {"balance": True, "query": "hidden"}),
    ("prog_prompt", {"reparameterise": True, "bottleneck": 16}),
    ("anchored_lora", {"combine": "attention", "mixing": "soft"}),
]
"""Methods that remember more than one LoRA per task, in their less usual forms."""


@pytest.mark.parametrize(("name", "options"), GOING_ON, ids=str)
def test_it_goes_on_from_a_state_between_stages_and_within_one(any_folder, name, options):
    whole, resumed = whole_and_resumed(lambda: make(any_folder, name, **options))
    other, state = make(any_folder, name, **options), whole.state()
    other.restore(state)
    assert other.state().values == state.values == resumed.state().values
    assert other.stored_examples() == whole.stored_examples() == resumed.stored_examples()
    assert other.stored_parameters() == whole.stored_parameters()
    for method in (whole, resumed, other):
        learn(method, STAGES[2])
    for stage in STAGES:
        expected = answers(whole, stage)
        assert torch.equal(answers(resumed, stage), expected)
        assert torch.equal(answers(other, stage), expected)


@pytest.mark.parametrize("name", ["per_task_ft", "prog_prompt", "ewc", "inf_lora", "l2p"])
def test_what_was_restored_shares_no_memory_with_the_state(llama_folder, name):
    method, other = make(llama_folder, name), make(llama_folder, name)
    learn(method, STAGES[0])
    before = answers(method, STAGES[0])
    state = method.state()
    other.restore(state)
    for tensor in state.tensors.values():
        tensor.detach().zero_()
    assert torch.equal(answers(other, STAGES[0]), before)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("am_lora", {"sparsity": (0.0, 0.5, 0.0)}, [[], ["sparsity"], []]),
        ("n_lora", {}, [["sparsity"], ["sparsity"], ["sparsity"]]),
        ("n_lora", {"strength": (0.0, 0.1, 0.0)}, [[], ["sparsity"], []]),
        ("o_lora", {}, [[], ["orthogonality"], ["orthogonality"]]),
        (
            "o_lora",
            {"strength": (0.0, 0.0, 0.5), "l2": (0.1, 0.0, 0.0)},
            [["l2"], [], ["orthogonality"]],
        ),
        ("ewc", {}, [[], ["ewc"], ["ewc"]]),
    ],
    ids=str,
)
def test_each_stage_has_the_terms_that_its_weights_give_it(llama_folder, name, options, expected):
    method = make(llama_folder, name, **options)
    assert [list(learn(method, stage))[1:] for stage in STAGES] == expected


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("am_lora", {"sparsity": 0.1, "lora": STILL}),
        ("n_lora", {"lora": STILL}),
        ("o_lora", {"l2": 0.1, "lora": STILL}),
        ("ewc", {}),
    ],
    ids=str,
)
def test_a_penalty_is_counted_once_per_step_whatever_the_micro_batches(llama_folder, name, options):
    found: list[dict[str, float]] = []
    for micro_batch in (4, 1):
        method = make(llama_folder, name, **options)
        learn(method, STAGES[0])
        stage = dataclasses.replace(STAGES[1], steps=2)
        found.append(learn(method, stage, micro_batch=micro_batch))
    assert found[0] == pytest.approx(found[1], rel=1e-2)


@pytest.mark.parametrize(("name", "strength"), [("n_lora", 1e-2), ("o_lora", 0.5)])
def test_a_stronger_term_has_its_effect(any_folder, name, strength):
    left = []
    for weight in (1e-9, strength):
        method = make(any_folder, name, strength=weight)
        for stage in STAGES[:2]:
            method.begin(stage)
            train(method, dataclasses.replace(stage, steps=20))
        [term] = method.penalty().values()
        left.append(term.item() / weight)
    assert left[1] < 0.5 * left[0]


@pytest.mark.parametrize("name", ["o_lora", "n_lora"])
def test_without_its_terms_it_is_inc_lora_bit_for_bit(any_folder, name):
    ours, plain = make(any_folder, name, strength=0.0), make(any_folder, "inc_lora")
    for stage in STAGES[:2]:
        learn(ours, stage)
        learn(plain, stage)
    assert ours.mixture is not None and plain.mixture is not None
    expected = plain.mixture.tensors()
    assert all(torch.equal(each, expected[n]) for n, each in ours.mixture.tensors().items())


@pytest.mark.parametrize(
    ("name", "setting", "group"),
    [
        ("am_lora", "selector_lr", "selector"),
        ("gain_lora", "gate_lr", "gate"),
        ("l2p", "lr", "keys"),
        ("prog_prompt", "lr", "prompt"),
        ("lfpt5", "lr", "prompt"),
    ],
)
def test_a_part_may_learn_at_a_rate_of_its_own(llama_folder, name, setting, group):
    moved: dict[float | None, float] = {}
    for rate in (None, 1e-5):
        method = make(llama_folder, name, **{setting: rate})
        method.begin(STAGES[0])
        [own] = [each for each in method.parameters() if each.name == group]
        before = [weight.detach().clone() for weight in own.parameters]
        train(method, STAGES[0])
        pairs = zip(own.parameters, before, strict=True)
        moved[rate] = max(float((now.detach() - old).abs().max()) for now, old in pairs)
    assert moved[1e-5] < 1e-4 < 1e-3 < moved[None]
