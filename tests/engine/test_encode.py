"""Token ids of prompts and answers: one text or two, what is cut, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from amlora.engine.encode import decode, encode_pairs, encode_prompt, encode_rows
from amlora.engine.fit import fit
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.streams.prompt import Prompt, build_prompt
from amlora.streams.task import Example, Task

OPTIONS = ("Good", "Bad", "very negative")
BEFORE, AFTER = "Choose one.\nOption: Good, Bad \n", "\nAnswer:"


def backbone_of(folder, max_tokens=64):
    return load_backbone(
        ModelSettings(name=str(folder), precision="float32", max_tokens=max_tokens)
    )


@pytest.fixture(scope="module")
def llama(llama_folder):
    return backbone_of(llama_folder)


@pytest.fixture(scope="module")
def t5(t5_folder):
    return backbone_of(t5_folder)


@pytest.fixture(scope="module")
def backbone(any_folder):
    return backbone_of(any_folder)


def task_of(*texts, options=OPTIONS, labels=OPTIONS):
    examples = tuple(
        Example(text=text, label=labels[i % len(labels)], row=f"test:{i}")
        for i, text in enumerate(texts)
    )
    return Task(
        name="films", instruction="Choose one.", options=options, train=(), dev=(), test=examples
    )


def rows_of(backbone, task):
    return encode_rows(backbone, task, task.test, prefix="off", form="full")[0]


def test_a_decoder_reads_prompt_and_answer_as_one_text(llama):
    task = task_of("a fine film", "a bad film", "no film")
    for row, example in zip(rows_of(llama, task), task.test, strict=True):
        whole = build_prompt(task, example.text).full + " " + example.label
        assert list(row.prompt_ids + row.answer_ids[:-1]) == llama.tokenizer(whole).input_ids
        assert row.prompt_ids[0] == llama.tokenizer.bos_token_id
        assert decode(llama, row.answer_ids) == " " + example.label


def test_an_encoder_decoder_reads_two_texts(t5):
    task = task_of("a fine film")
    (row,) = rows_of(t5, task)
    prompt = build_prompt(task, "a fine film").full
    assert list(row.prompt_ids) == t5.tokenizer(prompt).input_ids
    assert list(row.answer_ids) == t5.tokenizer("Good").input_ids


def test_answers_end_with_one_end_token(backbone):
    for row in rows_of(backbone, task_of("a", "b", "c")):
        assert [token for token in row.answer_ids if token in backbone.end_ids] == [backbone.end_id]
        assert row.answer_ids[-1] == backbone.end_id


def test_a_prompt_at_inference_is_the_trained_one(backbone):
    task = task_of("a fine film", "x" * 300, "naïve 好 {braces}\n\ntwo lines ")
    for row, example in zip(rows_of(backbone, task), task.test, strict=True):
        assert encode_prompt(backbone, build_prompt(task, example.text)) == row.prompt_ids


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=120))
def test_only_the_text_is_shortened_and_no_more_than_needed(llama, t5, text):
    for backbone in (llama, t5):
        ((_, (fitted,), (encoding,)),) = fit(backbone, [Prompt(BEFORE, text, AFTER)])
        assert (fitted.before, fitted.after) == (BEFORE, AFTER)
        assert text.startswith(fitted.text)
        assert len(encoding.ids) <= 64
        if fitted.text != text:
            more = Prompt(BEFORE, text[: len(fitted.text) + 12].rstrip() + "xyz", AFTER)
            assert len(backbone.tokenizer(more.full).input_ids) > 64


def test_an_answer_of_any_length_leaves_the_prompt_alone(llama):
    prompt = Prompt(BEFORE, "word " * 50, AFTER)
    pairs, _ = encode_pairs(llama, [prompt, prompt], ["Good", "Good " * 40])
    assert pairs[0][0] == pairs[1][0]


def test_a_prompt_that_does_not_fit_without_text_is_refused(backbone):
    with pytest.raises(InputError, match=r"model\.max_tokens is 64, but the prompt .* has \d+ tok"):
        encode_prompt(backbone, Prompt("instruction " * 40, "text", AFTER))


def words_only(backbone):
    """Give a model a tokenizer without tokens for digits, which it reads as unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>", "<s>"]
    trainer = trainers.BpeTrainer(special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["Good Bad film Choose one Option Answer : , . Lev el"], trainer)
    backbone.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="<pad>"
    )
    return backbone


def test_a_prompt_without_tokens_is_refused(llama_folder):
    bare = words_only(backbone_of(llama_folder))  # puts nothing before a text, as SmolLM2's
    assert encode_prompt(bare, Prompt("", "film", ""))
    with pytest.raises(InputError, match="the prompt '' has no tokens"):
        encode_prompt(bare, Prompt("", "", ""))


def test_an_option_that_the_tokenizer_cannot_write_is_refused(any_folder):
    lossy = words_only(backbone_of(any_folder))
    with pytest.raises(InputError, match=r"task 'films': option 'Level 7' reads back as '.*Level"):
        rows_of(lossy, task_of("film", options=("Good", "Level 7"), labels=("Good",)))


def test_free_text_that_the_tokenizer_cannot_write_is_allowed(any_folder):
    lossy = words_only(backbone_of(any_folder))
    assert len(rows_of(lossy, task_of("film", options=(), labels=("Level 7",)))) == 1


def test_a_token_across_prompt_and_answer_belongs_to_the_answer(llama_folder):
    backbone = backbone_of(llama_folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=258, initial_alphabet=alphabet, special_tokens=["</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([": : : :"], trainer)
    backbone.tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    ((prompt_ids, answer_ids),), _ = encode_pairs(
        backbone, [Prompt("", "x", "\nAnswer:")], ["Good"]
    )
    assert decode(backbone, prompt_ids) == "x\nAnswer"
    assert decode(backbone, answer_ids[:-1]) == ": Good"


def test_no_rows_of_no_examples(backbone):
    assert rows_of(backbone, task_of()) == []
