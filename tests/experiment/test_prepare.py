"""What is checked before a run learns anything: room for the answer, and what LoRAs change."""

import shutil
from pathlib import Path

import pytest
from transformers import BartConfig, BartForConditionalGeneration, GPT2Config, GPT2LMHeadModel

from amlora.errors import InputError
from amlora.experiment.prepare import prepare
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings
from amlora.records.schema import Adapted
from small_run import small_settings, write_rows, write_tasks
from stored import read_record
from tiny import VOCABULARY

POSITIONS = 96
"""Of the models below; the longest prompt of the small tasks has about 60 tokens."""


def settings(folder: Path, model: Path, *overrides: str, method: str | None = None) -> RunSettings:
    if not (folder / "data").exists():
        write_tasks(folder / "data")
    path = folder / "small.toml"
    path.write_text(small_settings(folder / "data", model))
    return load_settings(path, overrides, method)


@pytest.fixture(scope="module")
def gpt2(llama_folder, tmp_path_factory) -> Path:
    """A model that has learned positions, under a name of its own, and q, k and v in one module."""
    folder = shutil.copytree(llama_folder, tmp_path_factory.mktemp("gpt2") / "model")
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    sizes = {"vocab_size": VOCABULARY, "n_embd": 24, "n_layer": 1, "n_head": 2}
    config = GPT2Config.from_dict({**ids, **sizes, "n_positions": POSITIONS})
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bart(t5_folder, tmp_path_factory) -> Path:
    """An encoder-decoder with learned positions."""
    folder = shutil.copytree(t5_folder, tmp_path_factory.mktemp("bart") / "model")
    ids = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0}
    sides = {
        f"{side}_{name}": number
        for side in ("encoder", "decoder")
        for name, number in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
    }
    sizes = {"vocab_size": VOCABULARY, "d_model": 24, "max_position_embeddings": POSITIONS}
    config = BartConfig.from_dict({**ids, **sides, **sizes, "forced_eos_token_id": 1})
    BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_answers_that_the_score_does_not_see_are_told_unless_the_rule_sees_them(
    llama_folder, tmp_path
):
    rows = [{"text": f"what is {n}?", "label": f"-{n}"} for n in range(60)]
    write_rows(tmp_path / "numbers" / "train.jsonl", rows)
    numbers = f'stream.tasks=[{{name = "numbers", source = "{tmp_path / "numbers"}"}}]'
    for rule, told in (("reference", True), ("exact", False)):
        words = (numbers, 'stream.name=""', f"evaluate.rule={rule}")
        made = prepare(settings(tmp_path, llama_folder, *words, method="sin_lora"))
        assert any("evaluate.rule = 'exact'" in line for line in made.warnings) is told


def test_rows_that_leave_the_answer_no_room_are_refused_whatever_the_limit_is_called(
    gpt2, tmp_path
):
    fitting = settings(tmp_path, gpt2, "model.max_tokens=80", method="sin_lora")
    assert prepare(fitting)
    longer = settings(
        tmp_path, gpt2, "model.max_tokens=80", "evaluate.max_new_tokens=90", method="sin_lora"
    )
    with pytest.raises(InputError) as refused:
        prepare(longer)
    start, _, end = str(refused.value).partition(" and an answer of up to 90 tokens need ")
    assert start.startswith("model.max_tokens is 80: row train:") and start.endswith(" of feel")
    assert end.endswith(" positions; the model has 96.")


@pytest.mark.parametrize(
    ("method", "each"),
    [("l2p", 5), ("lfpt5", 1), ("prog_prompt", 2)],  # prompts of a row; two tasks have two
)
def test_soft_prompts_count_among_the_models_positions(llama_folder, tmp_path, method, each):
    fitting, longer = (f"method.length={tokens // each}" for tokens in (400, 490))
    assert prepare(settings(tmp_path, llama_folder, fitting, method=method))
    with pytest.raises(InputError) as refused:
        prepare(settings(tmp_path, llama_folder, longer, method=method))
    assert " with 490 soft vectors and an answer of up to 8 tokens need " in str(refused.value)


def test_an_encoder_and_its_decoder_have_positions_of_their_own(bart, tmp_path):
    words = ["model.max_tokens=96", "evaluate.max_new_tokens=96"]
    assert prepare(settings(tmp_path, bart, *words, method="sin_lora"))
    with pytest.raises(InputError, match="up to 97 tokens need 97 positions; the model has 96"):
        prepare(settings(tmp_path, bart, words[0], "evaluate.max_new_tokens=97", method="sin_lora"))
    with pytest.raises(InputError, match=r"with 250 soft vectors .* the model has 96"):
        prepare(settings(tmp_path, bart, *words, "method.length=50", method="l2p"))


def test_relative_positions_have_no_limit(t5_folder, tmp_path):
    assert prepare(settings(tmp_path, t5_folder, "method.length=300", method="prog_prompt"))


@pytest.mark.parametrize("method", ["sin_lora", "replay"])
def test_a_record_says_where_the_key_is_adapted_with_query_and_value(gpt2, tmp_path, method):
    chosen = settings(tmp_path, gpt2, "model.max_tokens=80", "train.steps=1", method=method)
    adapted = read_record(run(chosen, runs=tmp_path / "runs"))["adapted"]
    lora = ["c_attn"] if method == "sin_lora" else []
    assert adapted == {"projections": lora, "with_key": lora}


def test_what_is_adapted_is_told(llama_folder, tmp_path):
    identity = prepare(settings(tmp_path, llama_folder)).identity
    assert identity.adapted == Adapted(projections=("q_proj", "v_proj"), with_key=())
