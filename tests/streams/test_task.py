"""Tasks: their digests, their prompts, and when two of their texts are equal."""

from dataclasses import replace

import pytest

from amlora.streams.prompt import build_prompt
from amlora.streams.task import Example, Task, TaskStream, answer_key, majority, text_key


def examples(*labels: str) -> tuple[Example, ...]:
    return tuple(
        Example(text=f"text {i}", label=label, row=f"test:{i}") for i, label in enumerate(labels)
    )


TASK = Task(
    name="mnli",
    instruction="Which is it?",
    options=("neutral", "entailment"),
    train=examples("yes"),
    dev=examples("no"),
    test=examples("yes", "no", "yes", "yes"),
    category="NLI",
    dataset="MNLI",
)


def test_majority_is_the_share_of_the_most_frequent_test_label():
    assert majority(TASK.test) == 0.75


def test_digest_changes_with_each_part_that_decides_a_prompt_or_an_answer():
    changed = [
        replace(TASK, name="other"),
        replace(TASK, instruction="Was it?"),
        replace(TASK, options=("no", "yes")),
        replace(TASK, cue="So:"),
        replace(TASK, category="SC"),
        replace(TASK, dataset="Fruit"),
        replace(TASK, show_options=False),
        replace(TASK, train=examples("no")),
        replace(TASK, dev=examples("yes")),
        replace(TASK, test=TASK.test[::-1]),
    ]
    assert len({TASK.digest(), *(task.digest() for task in changed)}) == 1 + len(changed)


def test_digest_does_not_depend_on_where_the_rows_were_read():
    elsewhere = tuple(replace(row, place="b.csv: line 7") for row in TASK.test)
    assert replace(TASK, source="/elsewhere", test=elsewhere).digest() == TASK.digest()
    assert elsewhere == TASK.test


def test_stream_digest_depends_on_the_order_of_its_tasks_and_not_on_its_name():
    other = replace(TASK, name="other")
    one = TaskStream(name="a", tasks=(TASK, other))
    assert one.digest() != TaskStream(name="a", tasks=(other, TASK)).digest()
    assert one.digest() == TaskStream(name="b", tasks=(TASK, other)).digest()


FULL = "Which is it?\nOption: neutral, entailment \na text\nAnswer:"


@pytest.mark.parametrize(
    ("changes", "how", "expected"),
    [
        ({}, {}, FULL),
        ({}, {"prefix": "task"}, f"Task:NLI\n{FULL}"),
        ({}, {"prefix": "task+dataset"}, f"Task:NLI\nDataset:MNLI\n{FULL}"),
        ({"dataset": ""}, {"prefix": "task+dataset"}, f"Task:NLI\nDataset:mnli\n{FULL}"),
        ({}, {"prefix": "task", "form": "blind"}, "a text\nAnswer:"),
        ({"instruction": "", "show_options": False}, {}, "a text\nAnswer:"),
        ({"options": ()}, {}, "Which is it?\na text\nAnswer:"),
    ],
)
def test_a_prompt_is_in_the_references_form(changes, how, expected):
    assert build_prompt(replace(TASK, **changes), "a text", **how).full == expected


def test_the_text_of_a_prompt_is_a_part_of_its_own_and_unchanged():
    text = "  {0} Title: a\nText: b\n"
    assert build_prompt(TASK, text).text == text


def test_keys_drop_case_punctuation_and_white_space():
    assert answer_key(" Not-Spam! ") == "notspam"
    assert text_key("Will  you DIE?") == text_key("will you die") == "will you die"
    assert text_key("?!") != text_key("...")  # texts of punctuation alone stay apart
