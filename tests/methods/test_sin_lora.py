"""SinLoRA has one LoRA, which every task moves."""

import torch

from methods.learning import STAGES, answers, learn, make


def test_a_later_task_goes_on_from_the_earlier_ones_weights_and_moves_them(any_folder):
    method = make(any_folder, "sin_lora")
    assert method.mixture is not None
    learn(method, STAGES[0])
    before = {name: tensor.clone() for name, tensor in method.mixture.tensors().items()}
    first = answers(method, STAGES[0])
    method.begin(STAGES[1])
    begun = method.mixture.tensors()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in before.items())
    assert torch.equal(answers(method, STAGES[0]), first)
    learn(method, STAGES[1])
    after = method.mixture.tensors()
    moved = [not torch.equal(t, after[n]) for n, t in before.items() if not n.endswith(".w")]
    assert all(moved)
