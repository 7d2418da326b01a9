from dataclasses import replace

import pytest

from amlora.streams.prompt import build_prompt
from amlora.streams.task import Task

TASK = Task(
    name="mnli",
    instruction="Which is it?",
    options=("neutral", "entailment"),
    train=(),
    dev=(),
    test=(),
    category="NLI",
    dataset="MNLI",
)


@pytest.mark.parametrize(
    ("prefix", "lines"),
    [("off", ""), ("task", "Task:NLI\n"), ("task+dataset", "Task:NLI\nDataset:MNLI\n")],
)
def test_full_prompt_is_the_reference_form(prefix, lines):
    prompt = build_prompt(TASK, "a text", prefix=prefix)
    assert prompt.full == (f"{lines}Which is it?\nOption: neutral, entailment \na text\nAnswer:")


def test_blind_prompt_is_the_text_and_the_cue_even_with_a_prefix():
    assert build_prompt(TASK, "a text", prefix="task", form="blind").full == "a text\nAnswer:"


def test_a_task_without_instruction_and_list_of_options_gets_no_empty_lines():
    task = replace(TASK, instruction="", show_options=False)
    assert build_prompt(task, "A or B?").full == "A or B?\nAnswer:"


def test_a_free_text_task_has_no_option_line():
    assert build_prompt(replace(TASK, options=()), "x").full == "Which is it?\nx\nAnswer:"


def test_dataset_prefix_names_the_task_where_no_data_set_is_known():
    prompt = build_prompt(replace(TASK, dataset=""), "x", prefix="task+dataset")
    assert prompt.before.startswith("Task:NLI\nDataset:mnli\n")


def test_the_text_is_a_part_of_its_own_and_unchanged():
    text = "  {0} Title: a\nText: b\n"
    assert build_prompt(TASK, text).text == text
