"""Pseudo examples carry their label, and only good and new ones are kept."""

import pytest

from amlora.engine.backbone import Backbone
from amlora.engine.encode import decode, encode_rows
from amlora.engine.generate import generate_ids, inference
from amlora.methods.parts.pseudo import (
    Made,
    PseudoSettings,
    answers_gold,
    ask,
    keep,
    make_texts,
    refusal,
    sample,
    text_rows,
    words_of,
)
from amlora.streams.task import Example, Task
from tiny import learn
from trained import load_base

TEXTS = {
    "Good": ("a good film it is", "the good story of it"),
    "Bad": ("a bad film it is", "the actors are very bad"),
}


def task_of(texts: dict[str, tuple[str, ...]], **words) -> Task:
    pairs = [(text, label) for label, many in texts.items() for text in many]
    examples = [Example(text=t, label=l, row=f"train:{i}") for i, (t, l) in enumerate(pairs)]  # noqa: E741
    given = {"name": "feel", "instruction": "What is it?", "options": tuple(texts), **words}
    return Task(train=tuple(examples), dev=tuple(examples), test=tuple(examples), **given)


FEEL = task_of(TEXTS)


def settings(**options) -> PseudoSettings:
    return PseudoSettings(**{"max_text_tokens": 24, "repetition_penalty": 1.0, **options})


def make(
    backbone: Backbone, task: Task, *, seed: int = 0, taken: set[str] | None = None, **options
) -> list[Made]:
    return make_texts(
        backbone,
        words_of(task),
        (),
        settings(**options),
        prefix="off",
        form="full",
        key=(seed, 1),
        taken=set() if taken is None else taken,
    )


def taught(folder, task: Task, answered: Task | None = None) -> Backbone:
    """A model that knows a task's texts by heart, and answers those of `answered` (the same)."""
    backbone = load_base(folder)
    rows = text_rows(backbone, task, task.train, longest=24)
    asked = answered or task
    rows += encode_rows(backbone, asked, asked.train, prefix="off", form="full")[0]
    learn(backbone, rows, steps=120, rate=1e-2)
    return backbone


@pytest.fixture(scope="module")
def knowing(any_folder) -> Backbone:
    """A model of each family that knows FEEL by heart; use it only."""
    return taught(any_folder, FEEL)


def test_the_generation_prompt_names_task_and_label():
    assert ask(FEEL, "Bad").full == "Write an example of feel.\nWhat is it?\nLabel: Bad\nText:"
    assert ask(task_of(TEXTS, instruction=""), "Bad").full == (
        "Write an example of feel.\nLabel: Bad\nText:"
    )


def test_a_text_is_learned_to_its_end_or_cut_without_one(any_folder):
    backbone = load_base(any_folder)
    whole = text_rows(backbone, FEEL, FEEL.train, longest=100)
    assert [decode(backbone, row.answer_ids).strip() for row in whole] == [
        example.text for example in FEEL.train
    ]
    assert all(row.answer_ids[-1] == backbone.end_id for row in whole)
    cut = text_rows(backbone, FEEL, FEEL.train, longest=3)
    assert [row.answer_ids for row in cut] == [row.answer_ids[:3] for row in whole]
    assert all(backbone.end_id not in row.answer_ids for row in cut)
    assert [row.prompt_ids for row in cut] == [row.prompt_ids for row in whole]


@pytest.mark.parametrize(
    ("text", "tokens", "reason"),
    [
        ("a film that is good", 5, None),
        ("", 0, "empty"),
        (" ?! ", 9, "empty"),
        ("good film", 2, "short"),
        ("What is it?", 9, "copy"),
        ("what is it label bad", 9, "copy"),
        ("So: what is it? A film.", 9, "copy"),
    ],
)
def test_texts_that_cannot_be_examples_are_refused(text, tokens, reason):
    assert refusal(FEEL, "Bad", text, tokens, settings(min_text_tokens=3)) == reason


def test_a_text_is_kept_once_whatever_its_label_its_case_and_its_punctuation():
    good, bad, taken = Made("Good"), Made("Bad"), {"seen before"}
    keep(good, "A film.", True, taken, 2)
    keep(good, "a  film", True, taken, 2)
    keep(bad, "A FILM", True, taken, 2)
    keep(bad, "Seen before!", True, taken, 2)
    keep(bad, "wrong", False, taken, 2)
    keep(good, "two", True, taken, 2)
    keep(good, "three", True, taken, 2)
    assert (good.texts, bad.texts) == (["A film.", "two"], [])
    assert good.refused == {"repeated": 1, "not needed": 1}
    assert bad.refused == {"repeated": 2, "answer": 1}
    assert taken == {"seen before", "a film", "two"}


def test_a_model_that_knows_a_tasks_texts_makes_them_up_under_their_label(knowing):
    made = make(knowing, FEEL, per_label=2, oversample=8)
    assert [each.label for each in made] == ["Good", "Bad"]
    for each in made:
        assert sorted(each.texts) == sorted(TEXTS[each.label])


def test_what_was_sampled_is_kept_or_refused(knowing):
    for each in make(knowing, FEEL, per_label=1, oversample=3):
        assert len(each.texts) == 1
        assert each.sampled % 3 == 0
        assert each.sampled == len(each.texts) + sum(each.refused.values())


def test_texts_are_sampled_until_the_attempts_are_used_up(knowing):
    found = make(knowing, FEEL, per_label=3, oversample=2, attempts=4)
    # Each label has two texts: the third is asked for again and again.
    assert all(each.sampled > 6 for each in found)
    (once,) = {each.sampled for each in make(knowing, FEEL, per_label=3, oversample=2, attempts=1)}
    assert once == 6


@pytest.mark.parametrize(
    "any_folder", ["llama", pytest.param("t5", marks=pytest.mark.slow)], indirect=True
)
def test_an_answer_other_than_the_label_is_found_out(any_folder):
    swapped = task_of({"Good": TEXTS["Bad"], "Bad": TEXTS["Good"]})
    backbone = taught(any_folder, FEEL, swapped)
    made = make(backbone, FEEL)
    assert all(each.texts == [] and each.refused["answer"] > 0 for each in made)
    trusting = make(backbone, FEEL, self_check=False)
    assert all(set(each.texts) <= set(TEXTS[each.label]) and each.texts for each in trusting)


def test_the_self_check_reads_whole_answers(knowing):
    rows = encode_rows(knowing, FEEL, FEEL.train, prefix="off", form="full")[0]
    assert answers_gold(knowing, rows, batch=3) == [True] * len(rows)
    others = [Example(text=e.text, label="Good", row=e.row) for e in FEEL.train]
    wrong = encode_rows(knowing, FEEL, others, prefix="off", form="full")[0]
    assert answers_gold(knowing, wrong, batch=3) == [e.label == "Good" for e in FEEL.train]


def test_the_key_decides_what_is_sampled(knowing):
    def kept(seed: int) -> list[list[str]]:
        return [each.texts for each in make(knowing, FEEL, seed=seed, per_label=1)]

    found = [kept(seed) for seed in range(6)]
    assert [kept(seed) for seed in range(6)] == found
    assert len({tuple(each) for texts in found for each in texts}) > 2  # both texts of a label


PROMPTS = [(5, 40, 60), (5, 41), (5, 42, 61, 62)]


@pytest.fixture
def prompted(soft):
    """A model with three soft vectors, and prompts that end with them."""
    backbone, _, _, ids = soft
    return backbone, [(*prompt, *ids) for prompt in PROMPTS]


def sampled(prompted, *, top_k: int = 50, penalty: float = 1.2, seed: int = 0) -> list[list[int]]:
    backbone, prompts = prompted
    return sample(backbone, prompts, top_k=top_k, penalty=penalty, max_new_tokens=12, seed=seed)


def test_a_penalty_leaves_fewer_repetitions(prompted):
    def repeats(penalty: float) -> int:
        return sum(len(ids) - len(set(ids)) for ids in sampled(prompted, penalty=penalty, top_k=8))

    assert repeats(5.0) < repeats(1.0)


def test_the_likeliest_token_alone_is_greedy_generation(prompted):
    backbone, prompts = prompted
    with inference(backbone):
        expected = generate_ids(backbone, prompts, 12)
    assert sampled(prompted, top_k=1, penalty=1.0) == expected
