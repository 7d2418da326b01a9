"""Which tokens an adapted layer is given: the encoder's or the decoder's, told by the input."""

import pytest
import torch
from torch import Tensor, nn

from amlora.engine.attention import attention
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.engine.load import load_backbone
from amlora.engine.padding import Padding
from amlora.engine.settings import ModelSettings
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control, MixtureLinear
from families import save_family

READ, WRITTEN = 8, 5
"""Tokens of the two rows' prompts, and of their answers."""
ROWS = [
    Row("t", "0", (20, 21, 22, 23, 24), (90, 91, 1), "x"),
    Row("t", "1", (20, 21, 22), (92, 1), "x"),
]


def adapted(family, folder):
    settings = ModelSettings(name=str(save_family(family, folder / "model")), device="cpu")
    backbone = load_backbone(settings)
    model = backbone.model
    mixture = inject(model, find_targets(model, model.config.model_type), Control())
    mixture.grow("first", rank=2, alpha=4.0, start="uniform", seed=0)
    return backbone, mixture


@pytest.mark.parametrize("family", ["bart", "bert2bert", "bert2bert of two widths", "t5gemma"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_only_the_value_of_cross_attention_reads_the_encoders_tokens(family, rows, tmp_path):
    backbone, mixture = adapted(family, tmp_path)
    # In the second case both texts have as many tokens, so lengths do not tell them apart.
    rows = rows if len(rows) > 1 else [Row("t", "0", (20, 21, 22), (90, 91, 1), "x")]
    padding = Padding(backbone)
    seen: dict[str, set[str]] = {name: set() for name in mixture.layers}

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, MixtureLinear)
        seen[layer.name].add(padding.side(layer.name, given[0]))

    for layer in mixture.layers.values():
        layer.register_forward_pre_hook(note)
    with padding.watched(), torch.no_grad():
        target_logits(backbone, collate(rows, backbone, share=1.0))
    crossing = ("encoder_attn", "crossattention", "cross_attn")
    values = ("v_proj", "value")
    for name in mixture.layers:
        mine = name.startswith(("model.encoder", "encoder."))
        crossed = any(part in name for part in crossing) and name.endswith(values)
        assert seen[name] == {"encoder" if mine or crossed else "decoder"}, name


def test_a_projection_of_both_kinds_of_attention_counts_the_tokens_of_both(tmp_path):
    backbone, mixture = adapted("t5gemma2", tmp_path)
    padding = Padding(backbone)
    with padding.watched(), mixture.recording(padding.mask) as recorder, torch.no_grad():
        batch = collate(ROWS, backbone, share=1.0)
        padding.begin(batch)
        target_logits(backbone, batch)
    counted = {name: tally.tokens for name, tally in recorder.tallies.items()}
    ours = {name: count for name, count in counted.items() if ".decoder." in name}
    assert {count for name, count in ours.items() if name.endswith("q_proj")} == {WRITTEN}
    assert {count for name, count in ours.items() if name.endswith("v_proj")} == {READ + WRITTEN}
    assert {count for name, count in counted.items() if name not in ours} == {READ}


def test_a_decoder_only_model_has_one_side_whatever_its_parts_are_called(tmp_path):
    backbone, mixture = adapted("bert", tmp_path)
    found = attention(backbone, mixture, [("t", ROWS)], rows_per_task=2)
    assert list(found.modules) == list(mixture.layers)
    assert all(".encoder." in name for name in mixture.layers)
    assert Padding(backbone).side(next(iter(mixture.layers)), torch.ones(1)) == "decoder"
