"""Texts and questions of no task: what is measured, when, and that nothing else depends on it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from amlora import files
from amlora.engine.encode import Row, decode
from amlora.engine.exact import score_rows
from amlora.engine.likelihood import answer_likelihoods
from amlora.engine.settings import EvaluateSettings
from amlora.errors import InputError
from amlora.experiment.general import (
    BUILTIN,
    HERE,
    Passage,
    Question,
    Texts,
    general_rows,
    moment,
    read_texts,
)
from amlora.experiment.naming import facts_of, run_name
from amlora.experiment.prepare import Prepared, prepare
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings
from amlora.experiment.stop import Interrupted
from amlora.methods import method_class
from amlora.skills.load import load
from contract.conftest import tiny_settings
from general_texts import PASSAGES, QUESTIONS, write_general
from killed import bits
from literal import next_logits
from small_run import write_telling_tasks
from stopped import StopAt
from tiny import learn
from trained import load_base


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two tasks and a file of texts."""
    folder = tmp_path_factory.mktemp("place")
    write_telling_tasks(folder, {"train": 16, "dev": 4, "test": 8})
    write_general(folder / "general.toml")
    return folder


def settings_with(model: Path, place: Path, case: str, general: str | None = None) -> RunSettings:
    """Return a run of the tiny tasks that measures the small file, or another one."""
    return with_general(tiny_settings(model, place, case), general or str(place / "general.toml"))


def with_general(settings: RunSettings, general: str) -> RunSettings:
    """Return settings that measure a file."""
    evaluate = settings.evaluate.replace(general=general)
    return settings.replace(evaluate=evaluate)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


def by_hand(backbone, row: Row, model: nn.Module | None = None) -> list[float]:
    """Return minus the logarithm of each token of a row's gold answer, its end token left out."""
    return [
        -next_logits(backbone, row, at, model).log_softmax(-1)[token].item()
        for at, token in enumerate(row.answer_ids[:-1])
    ]


def test_it_is_the_models_own_loss_a_token_before_learning_and_after(any_folder, place, tmp_path):
    bare = load_base(any_folder)
    texts, digest = read_texts(str(place / "general.toml")) or pytest.fail("none")
    rows = general_rows(bare, texts, digest)
    folder = run(settings_with(any_folder, place, "am_lora"), runs=tmp_path)
    found = record(folder)
    learned, _ = load(folder, device="cpu", precision="float32")
    assert [each["after"] for each in found["general"]] == [-1, 1]
    for each, model in zip(found["general"], (bare.model, learned), strict=True):
        losses = [loss for row in rows.passages for loss in by_hand(bare, row, model)]
        assert each["tokens"] == len(losses)
        assert each["loss"] == pytest.approx(math.fsum(losses) / len(losses), rel=1e-5)
        assert (each["passages"], each["questions"]) == (len(PASSAGES), len(QUESTIONS))
        assert each["rejected"] is None
    before, after = found["general"]
    assert abs(after["loss"] - before["loss"]) > 1e-3
    assert found["general_digest"] == digest == files.sha256_file(place / "general.toml")


def test_a_passage_is_its_beginning_and_then_the_rest_as_one_text(llama_folder, t5_folder):
    ((prompt, rest), *_) = PASSAGES
    decoder = load_base(llama_folder)
    (row, *_), _ = parts(decoder)
    ids = decoder.tokenizer(f"{prompt} {rest}")["input_ids"]
    assert [*row.prompt_ids, *row.answer_ids] == [*ids, decoder.end_id]
    encoder = load_base(t5_folder)
    (row, *_), _ = parts(encoder)
    assert list(row.prompt_ids) == encoder.tokenizer(prompt)["input_ids"]
    assert list(row.answer_ids) == encoder.tokenizer(rest)["input_ids"]
    assert row.gold == rest


def parts(backbone) -> tuple[list[Row], list[Row]]:
    texts = Texts(
        passages=tuple(Passage(prompt=prompt, rest=rest) for prompt, rest in PASSAGES),
        questions=tuple(Question(prompt=prompt, answer=answer) for prompt, answer in QUESTIONS),
    )
    made = general_rows(backbone, texts, "")
    return made.passages, made.questions


@pytest.mark.parametrize("case", ["anchored_lora", "per_task_ft"])
def test_a_stopped_run_goes_on_to_the_same_measurements(llama_folder, place, tmp_path, case):
    settings = settings_with(llama_folder, place, case)
    whole = run(settings, runs=tmp_path / "whole")
    for steps in (1, 5):
        with pytest.raises(Interrupted):
            run(settings, runs=tmp_path / "cut", progress=StopAt(steps))
    assert bits(run(settings, runs=tmp_path / "cut")) == bits(whole)
    assert len(record(whole)["general"]) == 2


def test_an_answer_that_goes_on_is_begun_right_and_not_right(any_folder):
    backbone = load_base(any_folder)
    passages, (first, second) = parts(backbone)
    start = decode(backbone, second.answer_ids[:2])
    shorter = replace(second, answer_ids=(*second.answer_ids[:2], backbone.end_id), gold=start)
    learn(backbone, [first, second], steps=60)
    asked = [first, shorter]
    answers, _ = score_rows(
        backbone, asked, EvaluateSettings(tokens_per_batch=512, max_new_tokens=8)
    )
    found = answer_likelihoods(backbone, [*passages, *asked], 512)
    told = moment(3, passages, asked, found, answers)
    assert (told.after, told.right, told.begun, told.questions) == (3, 1, 2, 2)


@pytest.mark.parametrize("case", ["prog_prompt", "per_task_ft", "per_task_ft+lora"])
def test_where_a_task_id_is_needed_the_base_model_answers(any_folder, place, tmp_path, case):
    settings = settings_with(any_folder, place, case)
    assert method_class(settings.method.name).needs_task_id
    before, after = record(run(settings, runs=tmp_path))["general"]
    assert {**after, "after": -1} == before


def test_prompts_that_anchored_lora_sends_to_the_base_model_are_counted(
    any_folder, place, tmp_path
):
    base = tiny_settings(any_folder, place, "anchored_lora")
    losses = {}
    for reject in (0.2, 0.0):
        method = {"name": "anchored_lora", "reject": reject}
        settings = base.replace(method=method)
        settings = with_general(settings, str(place / "general.toml"))
        before, after = record(run(settings, runs=tmp_path))["general"]
        assert before["rejected"] is None
        losses[after["rejected"]] = after["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert losses == {1.0: True, 0.0: False}


def test_a_run_is_named_by_the_files_name_and_known_by_its_content(llama_folder, place, tmp_path):
    def prepared(path: Path) -> Prepared:
        return prepare(settings_with(llama_folder, place, "am_lora", str(path)))

    first = prepared(place / "general.toml")
    moved = prepared(write_general(tmp_path / "general.toml"))
    assert run_name(moved.written) == run_name(first.written)
    assert run_name(first.written) != run_name(tiny_settings(llama_folder, place, "am_lora"))
    assert facts_of(moved.identity) == facts_of(first.identity)
    path = tmp_path / "general.toml"
    path.write_text(path.read_text().replace("won", "lost"))
    assert facts_of(prepared(path).identity) != facts_of(first.identity)


WHOLE = '[[passages]]\nprompt = "a"\nrest = "b"\n[[questions]]\nprompt = "c"\nanswer = "d"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("[[passages", "line 1: not TOML"),
        (WHOLE.replace("rest", "answer"), "unknown setting 'passages[0].answer'"),
        (WHOLE.replace('"d"', '" "'), "questions[0].answer: a text is needed"),
        (WHOLE.replace('"b"', "3"), "passages[0].rest: expected a string, got 3"),
        (WHOLE.partition("[[q")[0], "questions is missing"),
        ("passages = []\nquestions = []", "passages must not be empty"),
    ],
)
def test_a_wrong_file_is_one_line(llama_folder, place, tmp_path, text, said):
    path = tmp_path / "wrong.toml"
    if text is not None:
        path.write_text(text)
    settings = settings_with(llama_folder, place, "am_lora", str(path))
    with pytest.raises(InputError) as refused:
        run(settings, runs=tmp_path / "runs")
    [line] = str(refused.value).splitlines()
    assert line.startswith(f"{path}: ") and said in line


def test_the_built_in_file_is_short_texts_and_answers_that_tokenizers_can_write(any_folder):
    texts, digest = read_texts(BUILTIN) or pytest.fail("none")
    assert digest == files.sha256_file(HERE)
    assert (len(texts.passages), len(texts.questions)) == (40, 24)
    assert len({each.prompt for each in (*texts.passages, *texts.questions)}) == 64
    assert all(each.rest[-1] == "." and 10 < len(each.rest.split()) < 60 for each in texts.passages)
    assert all(len(each.answer.split()) <= 3 for each in texts.questions)
    assert HERE.read_text().isascii()
    backbone = load_base(any_folder)
    rows = general_rows(backbone, texts, digest)
    for row in (*rows.passages, *rows.questions):
        assert decode(backbone, row.answer_ids[:-1]).strip() == row.gold


def test_a_prompt_has_nothing_around_it(llama_folder):
    backbone = load_base(llama_folder)
    _, (row, *_) = parts(backbone)
    assert list(row.prompt_ids) == backbone.tokenizer(QUESTIONS[0][0])["input_ids"]
