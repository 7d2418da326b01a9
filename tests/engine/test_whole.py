"""A base model is loaded whole or not at all, and before anything large is built."""

import json
import os
import resource
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from amlora.engine.backbone import Backbone
from amlora.engine.encode import encode_prompt
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.streams.prompt import Prompt
from tiny import VOCABULARY, tiny_gguf, tiny_llama, tiny_t5
from trained import load_base, logits


@pytest.fixture
def llama(tmp_path):
    """A folder of one's own, with a head of its own."""
    folder = tiny_llama(tmp_path / "llama")
    change(folder, tie_word_embeddings=False)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].flip(0)
    put(folder, tensors)
    return folder


def put(folder, tensors):
    save_file({n: t.contiguous().clone() for n, t in tensors.items()}, folder / "model.safetensors")


def change(folder, file="config.json", **fields):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def without(folder, part):
    tensors = load_file(folder / "model.safetensors")
    put(folder, {name: tensor for name, tensor in tensors.items() if part not in name})


UP = "model.layers.0.mlp.up_proj.weight"


def retyped(kind):
    def retype(tensors):
        return tensors | {UP: tensors[UP].to(kind)}

    return retype


def not_finite(tensors):
    tensors["model.embed_tokens.weight"][-1, -1] = float("nan")
    return tensors


def renamed(tensors):
    return {f"base.{name}": tensor for name, tensor in tensors.items()}


def tensors_of(made):
    return lambda folder: put(folder, made(load_file(folder / "model.safetensors")))


STORED_AS = rf"{UP} is stored as \w+, and no quantization_config"
DAMAGES = {
    "no head": (lambda f: without(f, "lm_head"), r"lacks lm_head\.weight; "),
    "no queries": (
        lambda f: without(f, "q_proj"),
        r"lacks model\.layers\.0\.self_attn\.q_proj\.weight, .*layers\.1",
    ),
    "no part": (lambda f: without(f, "layers.1.mlp.up_proj"), r"lacks .*layers\.1\.mlp\.up_proj"),
    "no embedding": (lambda f: without(f, "embed_tokens"), r"lacks model\.embed_tokens\.weight; "),
    "no norms": (lambda f: without(f, "norm"), r"lacks .*input_layernorm.*, .*, .* and 2 more; "),
    "other names": (tensors_of(renamed), r"LlamaForCausalLM lacks lm_head\.weight, .* more;"),
    "a layer less": (lambda f: change(f, num_hidden_layers=3), r"lacks model\.layers\.2\.input"),
    "a layer more": (lambda f: change(f, num_hidden_layers=1), r"no place for model\.layers\.1\."),
    "another width": (
        lambda f: change(f, intermediate_size=128),
        r"down_proj\.weight has the shape \(48, 96\), .*\(48, 128",
    ),
    "not finite": (
        tensors_of(not_finite),
        r"embed_tokens\.weight holds values that are not finite",
    ),
    "integers": (tensors_of(retyped(torch.int64)), STORED_AS),
    "truth values": (tensors_of(retyped(torch.bool)), STORED_AS),
    "complex": (tensors_of(retyped(torch.complex64)), STORED_AS),
    "eight bits": (tensors_of(retyped(torch.float8_e4m3fn)), STORED_AS),
    "a huge config": (
        lambda f: os.truncate(f / "config.json", 20 << 30),
        r"config\.json has 21474836480 bytes; at most",
    ),
    "a deep tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("[" * 100_000),
        r"model\.name: cannot load ",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_in_one_line(llama, damage):
    load_base(llama)
    inflict, said = DAMAGES[damage]
    inflict(llama)
    with pytest.raises(InputError, match=said) as caught:
        load_base(llama)
    assert "\n" not in str(caught.value)


def test_nothing_but_the_error_is_said_of_a_model_that_lacks_weights(llama, capfd):
    without(llama, "lm_head")
    capfd.readouterr()
    with pytest.raises(InputError):
        load_base(llama)
    assert capfd.readouterr() == ("", "")


def test_shared_embeddings_are_not_taken_for_missing(tmp_path):
    folder = tiny_t5(tmp_path, tied=True)
    load_base(folder)
    stored = {*load_file(folder / "model.safetensors")}
    shared = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
    assert not shared & stored and "shared.weight" in stored
    without(folder, "shared")
    with pytest.raises(InputError, match=r"lacks decoder\.embed_tokens\.weight, .* and 1 more"):
        load_base(folder)


def test_a_head_of_its_own_is_missed_where_it_would_be_shared(tmp_path):
    folder = tiny_t5(tmp_path)
    change(folder, tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"lacks lm_head\.weight"):
        load_base(folder)
    tensors = load_file(folder / "model.safetensors")
    put(folder, tensors | {"lm_head.weight": tensors["shared.weight"].flip(0)})
    weights = load_base(folder).model.state_dict()
    assert not torch.equal(weights["lm_head.weight"], weights["shared.weight"])


def test_buffers_that_older_files_hold_are_no_left_overs(llama):
    before = logits(load_base(llama))
    tensors = load_file(llama / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
    put(llama, tensors)
    assert torch.equal(logits(load_base(llama)), before)


def test_masks_that_published_gpt2_files_hold_are_no_left_overs(llama, tmp_path):
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=48, n_layer=1, n_head=4)
    config.bos_token_id, config.eos_token_id = 1, 2
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(llama / name, tmp_path)
    settings = ModelSettings(name=str(tmp_path), device="cpu", max_tokens=64)
    before = load_backbone(settings).fingerprint
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    tensors["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    put(tmp_path, tensors)
    assert load_backbone(settings).fingerprint == before
    put(tmp_path, tensors | {"transformer.h.0.extra.bias": torch.ones(3)})
    with pytest.raises(InputError, match=r"no place for transformer\.h\.0\.extra\.bias"):
        load_backbone(settings)


def test_a_gguf_file_that_lacks_weights_is_refused(tmp_path):
    path = tiny_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes().replace(b"ffn_up", b"ffn_xx"))
    with pytest.raises(InputError, match=r"model\.layers\.0\.mlp\.up_proj\.weight|ffn_xx"):
        load_backbone(ModelSettings(name=str(path), max_tokens=32))


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 48_000},
        {"intermediate_size": 10**9},
        {"vocab_size": 10**9},
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 10**9},
        {"num_labels": 10**9},
    ],
    ids=str,
)
def test_a_config_that_asks_for_far_more_is_refused_before_it_is_built(llama, sizes):
    change(llama, **sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (name,) = sizes
    asked = "its config (asks for|says num_labels)" if "num_hidden" not in name else f"says {name}"
    with pytest.raises(InputError, match=asked):
        load_base(llama)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


def test_only_pickled_weights_are_refused_with_the_way_to_convert_them(llama):
    torch.save(load_file(llama / "model.safetensors"), llama / "pytorch_model.bin")
    load_base(llama)  # safetensors beside them are read
    (llama / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"as a pickle \(\.bin\).*save_pretrained\(folder\)"):
        load_base(llama)


@pytest.mark.parametrize("peft", [True, False])
def test_an_adapter_beside_a_model_is_refused(llama, monkeypatch, peft):
    if not peft:
        monkeypatch.setattr("transformers.integrations.peft.is_peft_available", lambda: False)
    change_to = {"peft_type": "LORA", "base_model_name_or_path": str(llama)}
    (llama / "adapter_config.json").write_text(json.dumps(change_to))
    with pytest.raises(InputError, match=r"adapter_config\.json is there.*merge_and_unload"):
        load_base(llama)
    (llama / "config.json").unlink()
    with pytest.raises(InputError, match=r"adapter_config\.json is there"):
        load_base(llama)


def sharded(folder, where):
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "part.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {name: "part.safetensors" for name in tensors}, "metadata": {}}
    index["weight_map"][min(tensors)] = where
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("../part.safetensors", r"names '\.\./part\.safetensors', no safetensors file beside it"),
        ("/etc/passwd", "names '/etc/passwd', no safetensors file beside it"),
        ("other.safetensors", "names 'other.safetensors', which is missing"),
        (7, "weight_map is missing"),
    ],
)
def test_an_index_names_files_beside_it(llama, where, said):
    before = logits(load_base(llama))
    sharded(llama, "part.safetensors")
    assert torch.equal(logits(load_base(llama)), before)
    (llama / "part.safetensors").rename(llama / "model.safetensors")
    sharded(llama, where)
    with pytest.raises(InputError, match=said):
        load_base(llama)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_is_no_file_is_refused_and_never_opened(llama, file):
    moved = llama.parent / file
    (llama / file).rename(moved)
    (llama / file).symlink_to(moved)
    load_base(llama)  # a link to a file is one, as in the hub's cache
    (llama / file).unlink()
    os.mkfifo(llama / file)
    with pytest.raises(InputError, match=rf"{file} is no regular file"):
        load_base(llama)
    (llama / file).unlink()
    (llama / file).symlink_to("/dev/zero")
    with pytest.raises(InputError, match=rf"{file} is no regular file"):
        load_base(llama)


NAMES = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wanted", ["auto", "sdpa"])
def test_the_settings_choose_the_kernel_and_not_the_config(llama, name, wanted):
    change(llama, **{name: "somebody/kernel", "experts_implementation": "somebody/kernel"})
    backbone = load_backbone(ModelSettings(name=str(llama), device="cpu", attention=wanted))
    used = backbone.model.config._attn_implementation
    assert used == ("eager" if wanted == "auto" else wanted)


def test_a_special_token_without_an_embedding_is_refused(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(llama)
    with pytest.raises(InputError, match=r"pad token '\[PAD\]' .*id 420, .*has 420 embeddings"):
        load_base(llama)
    model = AutoModelForCausalLM.from_pretrained(llama)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(llama)
    assert load_base(llama).pad_id == 420


def test_a_text_with_a_token_without_an_embedding_is_refused_and_no_other(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_tokens(["<image>"])
    tokenizer.save_pretrained(llama)
    backbone = load_base(llama)
    assert encode_prompt(backbone, Prompt("", "a good film", ""))
    with pytest.raises(InputError, match=r"the token '<image>' \(id 420\) of .* has no embedding"):
        encode_prompt(backbone, Prompt("", "a good <image> film", ""))


def test_two_threads_load_without_disturbing_each_other(llama, t5_folder):
    default, found = torch.get_default_dtype(), dict[int, Backbone]()
    precisions = ("bfloat16", "float32") * 2

    def load(index):
        folder = llama if index % 2 else t5_folder
        settings = ModelSettings(name=str(folder), precision=precisions[index // 2], device="cpu")
        found[index] = load_backbone(settings)

    threads = [threading.Thread(target=load, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert torch.get_default_dtype() == default
    assert {found[i].fingerprint for i in (0, 2)} == {load_base(t5_folder).fingerprint}
    assert {found[i].fingerprint for i in (1, 3)} == {load_base(llama).fingerprint}
    assert torch.nn.Linear(2, 2).weight.dtype == default
