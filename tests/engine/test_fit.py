"""Very long texts are cut to the same ids as if all of them had been tokenised, and quickly."""

import random
from dataclasses import replace

import pytest

from amlora.engine import encode
from amlora.engine import fit as engine
from amlora.engine.encode import encode_pairs, encode_rows
from amlora.engine.fit import cut_middle, fit, in_parts, parts_at_blanks
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.streams.prompt import Prompt
from amlora.streams.task import Example, Task

BEFORE, AFTER = "Choose one.\n", "\nAnswer:"
WORDS = ["a", "film", "good", "naïve", "好的", "12", "don't", "(x)", "under_score", "x.y", "", "\n"]


@pytest.fixture(scope="module")
def backbone(any_folder):
    return load_backbone(ModelSettings(name=str(any_folder), precision="float32", max_tokens=48))


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """The characters of each text that is tokenised."""
    sizes: list[int] = []
    tokenise = engine.tokenise

    def counted(backbone, texts, target=False):
        texts = list(texts)
        sizes.extend(map(len, texts))
        return tokenise(backbone, texts, target)

    for module in (engine, encode):
        monkeypatch.setattr(module, "tokenise", counted)
    return sizes


def text_of(length: int, seed: int) -> str:
    """Words, double blanks and lines at random, of about that many characters."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(length // 4))


@pytest.mark.parametrize("end", ["", " ", "\n", " \n", ".", " end", "好"])
def test_a_text_far_too_long_gets_the_ids_that_tokenising_all_of_it_gives(
    backbone, end, monkeypatch
):
    assert parts_at_blanks(backbone)
    prompts = [Prompt(BEFORE, text_of(9000, seed) + end, AFTER) for seed in range(12)]
    ((_, texts, encodings),) = fit(backbone, prompts)
    assert [len(prompt.text) for prompt in engine.begun(backbone, prompts)] != [
        len(prompt.text) for prompt in prompts
    ]
    monkeypatch.setattr(engine, "HEAD", 10**9)  # so that all of a text is tokenised
    ((_, expected, whole),) = fit(backbone, prompts)
    assert texts == expected
    assert [each.ids for each in encodings] == [each.ids for each in whole]


def test_of_texts_of_a_megabyte_only_both_ends_are_read(backbone, read):
    prompts = [Prompt(BEFORE, "a good film " * 85_000, AFTER) for _ in range(24)]
    ((_, texts, _),) = fit(backbone, prompts)
    assert all(0 < len(prompt.text) < 400 for prompt in texts)
    assert max(read) < 4000 and sum(read) < 24 * 4000


def test_a_text_without_blanks_is_tokenised_as_a_whole(backbone):
    assert cut_middle("x" * 9000, 768) is None
    ((_, (fitted,), (encoding,)),) = fit(backbone, [Prompt(BEFORE, "x" * 9000, AFTER)])
    assert len(encoding.ids) == 48 and "x" * 9000 != fitted.text == "x" * len(fitted.text)


def test_a_vocabulary_with_tokens_over_blanks_is_left_alone(backbone, monkeypatch):
    monkeypatch.setattr(type(backbone.tokenizer), "get_vocab", lambda _: {"ofĠthe": 0})
    assert not parts_at_blanks(backbone)
    monkeypatch.setattr(type(backbone.tokenizer), "get_vocab", lambda _: {"Ġof": 0, "ĠĠ": 1})
    assert parts_at_blanks(backbone)


def test_words_around_a_text_that_do_not_fit_are_refused_by_their_start(backbone, read):
    prompts = [Prompt("an instruction " * 60_000, "text", AFTER)] * 24
    with pytest.raises(InputError, match=r"max_tokens is 48, but the prompt .* without any text"):
        list(fit(backbone, prompts))
    assert sum(read) < 1000


def test_many_texts_give_the_ids_that_each_gives_alone(backbone, monkeypatch):
    prompts = [Prompt(BEFORE, text_of(40 * size, size), AFTER) for size in range(9)]
    answers = ["Good", "Bad", "Good film"] * 3
    together = encode_pairs(backbone, prompts, answers)
    monkeypatch.setattr(engine, "AT_ONCE", 200)
    assert encode_pairs(backbone, prompts, answers) == together


def test_parts_hold_each_text_once():
    assert [range(5)[part] for part in in_parts([2**20, 1, 2**19, 2**19, 2**21])] == [
        range(1),
        range(1, 3),
        range(3, 4),
        range(4, 5),
    ]
    assert list(in_parts([])) == []


def test_an_answer_longer_than_a_model_is_refused_by_its_start(llama_folder, read):
    llama = load_backbone(ModelSettings(name=str(llama_folder), precision="float32"))
    rows = tuple(
        Example(text="a film", label="a good film " * 85_000, row=f"train:{i}") for i in range(24)
    )
    task = Task(name="retell", instruction="", options=(), train=rows, dev=(), test=())
    with pytest.raises(InputError, match=r"'retell': the answer of row train:0 has 1020000 char"):
        encode_rows(llama, task, rows, prefix="off", form="full")[0]
    assert sum(read) < 10_000
    short = replace(rows[0], label="a good film")
    assert len(encode_rows(llama, task, [short], prefix="off", form="full")[0]) == 1
