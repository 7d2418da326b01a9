"""LFPT5: one prompt that answers, writes examples of earlier tasks, and learns from them."""

import json
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, micro_batches, target_logits, task_loss
from amlora.engine.encode import decode, encode_rows
from amlora.engine.fingerprint import weights_fingerprint
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.methods.base import Stage
from amlora.methods.lfpt5 import LFPT5, LFPT5Settings, divergence, only
from amlora.methods.parts.prompts import from_vocabulary
from amlora.methods.parts.pseudo import PseudoSettings
from amlora.streams.task import Example, Task
from methods.learning import learn, train
from trained import load_base

WORDS = {
    "feel": {"Good": "a good film", "Bad": "a bad film"},
    "topic": {"Sports": "the team won", "Business": "the market fell"},
    "truth": {"True": "what is true", "False": "what is false"},
}
# Nothing is refused but repetitions: an untrained model writes anything.
LOOSE = PseudoSettings(
    per_label=1, max_text_tokens=12, min_text_tokens=1, repetition_penalty=3.0, self_check=False
)


def task_of(name: str, *, options: tuple[str, ...] | None = None) -> Task:
    pairs = [(f"{text} {i}", label) for i in range(4) for label, text in WORDS[name].items()]
    rows = tuple(Example(text=t, label=l, row=f"train:{i}") for i, (t, l) in enumerate(pairs))  # noqa: E741
    own = tuple(WORDS[name]) if options is None else options
    return Task(name=name, instruction="What is it?", options=own, train=rows, dev=(), test=())


def stage_of(backbone: Backbone, index: int, task: Task, *, steps: int = 4) -> Stage:
    rows = encode_rows(backbone, task, task.train, prefix="off", form="full")[0]
    return Stage(index, task.name, rows, steps, (task,))


def stages_of(method: LFPT5) -> list[Stage]:
    return [stage_of(method.backbone, i, task_of(name)) for i, name in enumerate(WORDS)]


def make(folder, *, pseudo: PseudoSettings = LOOSE, **options) -> LFPT5:
    settings = LFPT5Settings(**{"length": 5, "pseudo": pseudo, **options})
    return LFPT5(load_base(folder), settings, seed=0)


def prompt_of(method: LFPT5) -> torch.Tensor:
    assert method.prompt is not None
    return method.prompt.detach().clone()


def terms_of(method: LFPT5, stage: Stage, *, step: int = 0, size: int = 8, processes: int = 1):
    """Add up the terms of one step over all its micro-batches and processes."""
    rows = method.readable(method.step_rows(stage, step, stage.rows[:4]), scoring=False)
    totals: Counter[str] = Counter()
    for process in range(processes):
        args = {"size": size, "process": process, "processes": processes}
        for batch in micro_batches(rows, method.backbone, **args):
            totals.update({name: term.item() for name, term in method.loss(batch).items()})
    return dict(totals)


@pytest.fixture
def second(any_folder) -> tuple[LFPT5, Stage]:
    """A method in its second stage, whose prompt has moved since the stage began."""
    method = make(any_folder)
    first, stage, _ = stages_of(method)
    learn(method, first)
    method.begin(stage)
    train(method, stage)
    return method, stage


def test_the_prompt_starts_from_the_vocabulary_and_is_carried_over(any_folder):
    method = make(any_folder)
    first, second, _ = stages_of(method)
    method.begin(first)
    weight = method.embedding.weight
    start = prompt_of(method)
    assert all((row == weight).all(-1).any() for row in start) and start.shape == (5, 48)
    same = torch.equal(start, from_vocabulary(method.embedding, 5, torch.Generator()))
    assert not same  # its own seed
    train(method, first)
    method.end(first)
    learned = prompt_of(method)
    method.begin(second)
    assert not torch.equal(learned, start)
    assert torch.equal(prompt_of(method), learned)


def test_the_prompt_stands_between_text_and_answer(any_folder):
    method = make(any_folder)
    (stage, *_) = stages_of(method)
    assert list(method.readable(stage.rows, scoring=True)) == list(stage.rows)  # there is none yet
    method.begin(stage)
    soft = list(method.soft_ids())
    assert soft == list(range(420, 425))
    row = stage.rows[0]
    inputs = collate(method.readable([row], scoring=True), method.backbone, share=1.0).inputs
    (read,) = inputs["input_ids"].tolist()
    if method.backbone.family == "encoder-decoder":
        assert read == [*row.prompt_ids, *soft]
        assert max(inputs["decoder_input_ids"][0].tolist()) < 420
    else:
        assert read == [*row.prompt_ids, *soft, *row.answer_ids[:-1]]


def test_answers_are_asked_for_without_the_generation_prompt(second):
    method, stage = second
    read = method.readable(method.step_rows(stage, 0, stage.rows[:4]), scoring=False)
    plain = [decode(method.backbone, [i for i in r.prompt_ids if i < 420]) for r in read]
    assert len(plain) == 5 and not any("Write" in text or "Label" in text for text in plain)
    assert all(text.startswith("What is it?") and text.endswith("Answer:") for text in plain)
    texts = [decode(method.backbone, row.prompt_ids) for row in method.texts_of.values()]
    assert texts and all(text.startswith("Write an example of ") for text in texts)


def test_later_stages_replay_and_distil_and_the_base_stays_as_it_is(any_folder):
    method = make(any_folder)
    model = method.backbone.model
    names = list(model.state_dict())
    before = weights_fingerprint(model.state_dict())
    told = [learn(method, stage) for stage in stages_of(method)]
    assert [set(terms) - {"task", "lm"} for terms in told] == [set(), {"distil"}, {"distil"}]
    assert all(math.isfinite(value) for value in told[2].values())
    assert weights_fingerprint(model.state_dict()) == before
    assert list(model.state_dict()) == names
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("name", ["task", "lm", "distil"])
def test_a_small_move_of_the_prompt_against_a_terms_gradient_lowers_the_term(second, name):
    method, stage = second
    rows = method.readable(method.step_rows(stage, 0, stage.rows[:4]), scoring=False)
    batch = collate(rows, method.backbone, share=1 / sum(len(row.answer_ids) for row in rows))
    before = method.loss(batch)[name]
    (gradient,) = torch.autograd.grad(before, [method.prompt])
    with torch.no_grad():  # lowers it by 1 %, if straight
        method.prompt -= 0.01 * before.detach() / gradient.square().sum() * gradient
    assert 0.98 < (method.loss(batch)[name] / before).item() < 0.995


def test_every_earlier_task_and_label_has_its_pseudo_examples(any_folder):
    method = make(any_folder)
    first, second, third = stages_of(method)
    learn(method, first)
    for stage, earlier in ((second, ["feel"]), (third, ["feel", "topic"])):
        learn(method, stage)
        rows = method.stored_examples()
        expected = [(name, label) for name in earlier for label in WORDS[name]]
        assert [(row.task, row.gold) for row in rows] == expected
        assert [row.row for row in rows] == [f"pseudo:{stage.index}:{i}" for i in range(len(rows))]
        answers = {(row.gold, row.answer_ids) for s in (first, second) for row in s.rows}
        assert {(row.gold, row.answer_ids) for row in rows} <= answers


def test_distillation_is_the_divergence_over_pseudo_rows_and_their_texts(second):
    method, stage = second
    rows = method.step_rows(stage, 0, stage.rows[:4])
    made = [row for row in rows if row.row.startswith("pseudo:")]
    read = [*made, *(method.texts_of[row.task, row.row] for row in made)]
    former, current = method.former, prompt_of(method)
    assert former is not None
    total, targets = 0.0, 0
    for row in method.readable(read, scoring=True):
        batch = collate([row], method.backbone, share=1.0)
        logits = []
        for vectors in (former, current):
            method.prompt = vectors
            with torch.no_grad():
                out = method.backbone.model(**batch.inputs).logits
                logits.append(out[0, -len(row.answer_ids) :].double().log_softmax(-1))
        total += (logits[0].exp() * (logits[0] - logits[1])).sum().item()
        targets += len(row.answer_ids)
    expected = method.settings.kd_weight * total / targets
    assert terms_of(method, stage)["distil"] == pytest.approx(expected, rel=1e-3)


def test_the_lm_term_is_the_mean_over_all_texts_of_the_step(second):
    method, stage = second
    rows = method.step_rows(stage, 0, stage.rows[:4])
    texts = [method.texts_of[row.task, row.row] for row in rows]
    share = 1 / sum(len(row.answer_ids) for row in texts)
    total = 0.0
    for row in method.readable(texts, scoring=True):
        batch = collate([row], method.backbone, share=share)
        total += task_loss(method.backbone, batch).item()
    assert terms_of(method, stage)["lm"] == pytest.approx(0.25 * total, rel=1e-4)


@pytest.mark.parametrize(("size", "processes"), [(1, 1), (2, 1), (2, 2), (1, 3)])
def test_terms_add_up_over_micro_batches_and_processes(second, size, processes):
    method, stage = second
    whole = terms_of(method, stage)
    parts = terms_of(method, stage, size=size, processes=processes)
    assert parts == pytest.approx(whole, rel=1e-4)


def test_no_example_outlives_its_stage(any_folder):
    method = make(any_folder)
    first, second, _ = stages_of(method)
    learn(method, first)
    learn(method, second)
    remembered = json.dumps(method.state().values)
    seen = [example.text for name in ("feel", "topic") for example in task_of(name).train]
    assert [text for text in seen if text in remembered] == []
    assert "What is it?" in remembered and "Sports" in remembered
    assert method.state().tensors.keys() == {"prompt"}


def test_the_texts_file_tells_what_was_kept_and_what_was_not(any_folder):
    method = make(any_folder)
    first, second, third = stages_of(method)
    learn(method, first)
    assert method.texts() == {"pseudo.jsonl": ""}
    learn(method, second)
    learn(method, third)
    lines = [json.loads(line) for line in method.texts()["pseudo.jsonl"].splitlines()]
    texts = [line for line in lines if "text" in line]
    counts = [line for line in lines if "kept" in line]
    assert len(texts) + len(counts) == len(lines)
    assert [(line["stage"], line["task"], line["label"]) for line in counts] == [
        (stage, name, label)
        for stage, names in ((1, ["feel"]), (2, ["feel", "topic"]))
        for name in names
        for label in WORDS[name]
    ]
    assert all(line["kept"] == 1 and line["sampled"] >= 1 for line in counts)
    of_third = [line for line in texts if line["stage"] == 2]
    assert [line["row"] for line in of_third] == [row.row for row in method.stored_examples()]
    asked = [decode(method.backbone, row.prompt_ids) for row in method.stored_examples()]
    # T5's tokens may write a text with other blanks.
    for line, prompt in zip(of_third, asked, strict=True):
        assert "".join(line["text"].split()) in "".join(prompt.split())


def test_tasks_with_free_text_are_answered_but_never_written(any_folder):
    method = make(any_folder)
    free = stage_of(method.backbone, 0, task_of("feel", options=()))
    assert set(learn(method, free)) == {"task"}
    _, second, third = stages_of(method)
    assert set(learn(method, second)) == {"task", "lm"}
    learn(method, third)
    assert {row.task for row in method.stored_examples()} == {"topic"}
    (line, *_) = [json.loads(line) for line in method.texts()["pseudo.jsonl"].splitlines()]
    assert (line["task"], line["label"], line["kept"]) == ("feel", None, 0)


def test_rows_longer_than_the_models_positions_are_refused(llama_folder):
    method = make(llama_folder, length=480)
    (stage, *_) = stages_of(method)
    with pytest.raises(InputError, match="the model has 512"):
        method.begin(stage)


def test_without_any_pseudo_example_a_stage_is_as_the_first(any_folder):
    picky = PseudoSettings(max_text_tokens=4, min_text_tokens=4, attempts=1, oversample=1)
    method = make(any_folder, pseudo=picky)
    first, second, _ = stages_of(method)
    learn(method, first)
    assert set(learn(method, second)) == {"task", "lm"}
    assert method.stored_examples() == []
    lines = [json.loads(line) for line in method.texts()["pseudo.jsonl"].splitlines()]
    assert [line["kept"] for line in lines] == [0, 0] and all(line["refused"] for line in lines)


def test_bfloat16_arithmetic_trains_too(any_folder):
    settings = ModelSettings(name=str(any_folder), precision="bfloat16", device="cpu")
    method = LFPT5(load_backbone(settings), LFPT5Settings(length=5, pseudo=LOOSE), seed=0)
    first, second, _ = stages_of(method)
    learn(method, first)
    assert all(math.isfinite(value) for value in learn(method, second).values())
    assert method.prompt is not None and method.prompt.dtype == torch.float32


def test_gradients_flow_to_the_student_alone():
    teacher, student = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    teacher.requires_grad_(True)
    student.requires_grad_(True)
    divergence(teacher, student).backward()
    assert teacher.grad is None
    # d KL / d student's logits = student's probabilities - teacher's
    expected = student.softmax(-1) - teacher.softmax(-1)
    torch.testing.assert_close(student.grad, expected.detach())


def test_some_rows_of_a_batch_keep_their_padding(second):
    method, stage = second
    backbone = method.backbone
    lengths = zip(stage.rows, range(42, 45), strict=False)
    rows = [replace(row, prompt_ids=(5, *range(40, last))) for row, last in lengths]
    batch = collate(rows, backbone, share=1.0)
    with torch.no_grad():
        logits = target_logits(backbone, batch)
    part = only(batch, [2, 0])
    assert [row.row for row in part.rows] == [batch.rows[2].row, batch.rows[0].row]
    assert {name: each.shape[1] for name, each in part.inputs.items()} == {
        name: each.shape[1] for name, each in batch.inputs.items()
    }
    with torch.no_grad():
        torch.testing.assert_close(target_logits(backbone, part), logits[[2, 0]])
