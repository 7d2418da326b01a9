"""SeqFT trains all weights, or one LoRA as SinLoRA does."""

import pytest
import torch

from amlora.methods.lora import LoRASettings
from methods.learning import STAGES, answers, learn, make


def test_all_weights_are_stored(any_folder):
    method = make(any_folder, "seq_ft")
    assert method.stored_parameters() == sum(w.numel() for w in method.backbone.model.parameters())
    assert method.mixture is None


def test_its_lora_form_is_sin_lora(any_folder):
    found = []
    for name, options in (("seq_ft", {"trainable": "lora"}), ("sin_lora", {})):
        method = make(any_folder, name, **options)
        for stage in STAGES:
            learn(method, stage)
        assert method.mixture is not None and method.mixture.names == ["all tasks"]
        found.append((answers(method, STAGES[0]), method.stored_parameters()))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("name", ["seq_ft", "per_task_ft", "mtl", "replay", "ewc"])
def test_the_loras_settings_are_used(llama_folder, name):
    method = make(llama_folder, name, trainable="lora", lora=LoRASettings(rank=3))
    method.begin(STAGES[0])
    assert {len(w) for g in method.parameters() for w in g.parameters} == {3}
    assert not method.trains_base(method.settings)
