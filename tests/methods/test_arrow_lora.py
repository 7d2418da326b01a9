"""ArrowLoRA: LoRAs learned one by one, chosen without a task id."""

import torch

from amlora.methods.arrow_lora import ArrowLoRA, ArrowLoRASettings
from amlora.methods.base import Stage
from amlora.mixture.arrow import Arrow
from methods.learning import STAGES, answers, learn, make, train
from trained import load_base


def arrow_lora(folder, **options) -> ArrowLoRA:
    return ArrowLoRA(load_base(folder), ArrowLoRASettings(**options), seed=0)


def test_a_task_is_learned_as_if_there_were_no_other_lora(any_folder):
    """But for its start: the random A of a second LoRA is another one."""
    method = arrow_lora(any_folder)
    learn(method, STAGES[0])
    method.begin(STAGES[1])
    plain = answers(make(any_folder, "inc_lora"), STAGES[1])
    assert torch.equal(answers(method, STAGES[1]), plain)
    begun = {name: layer.bank.a[8:].clone() for name, layer in method.mixture.layers.items()}
    train(method, STAGES[1])
    alone = make(any_folder, "inc_lora")
    assert alone.mixture is not None
    # The stage is the second, so that rows and dropout are drawn alike.
    alone.begin(Stage(1, "two", STAGES[1].rows, STAGES[1].steps))
    for name, layer in alone.mixture.layers.items():
        layer.bank.a.copy_(begun[name])
    train(alone, STAGES[1])
    for name, layer in alone.mixture.layers.items():
        bank = method.mixture.layers[name].bank
        torch.testing.assert_close(bank.a[8:], layer.bank.a, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bank.b[8:], layer.bank.b, rtol=1e-4, atol=1e-5)


def test_one_lora_per_token_differs_from_all_of_them(any_folder):
    found = []
    for top_k in (1, 3):
        method = arrow_lora(any_folder, arrow=Arrow(top_k=top_k))
        for stage in STAGES:
            learn(method, stage)
        found.append(answers(method, STAGES[0]))
    assert not torch.allclose(found[0], found[1])
