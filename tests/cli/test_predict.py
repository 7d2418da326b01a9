"""Texts in, answers out: several at once, lines as they come, and who answered."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from amlora.cli.predict import explained
from command import amlora, said
from small_run import small_settings, write_tasks


@pytest.fixture(scope="module")
def run(tmp_path_factory, llama_folder) -> Path:
    """A finished run whose prompts tell who answers them."""
    folder = tmp_path_factory.mktemp("anchored")
    write_tasks(folder / "data", rows=8)
    config = folder / "small.toml"
    config.write_text(small_settings(folder / "data", llama_folder))
    words = ("--method", "anchored_lora", "--runs", folder / "runs", "-q")
    return Path(said("run", config, *words).strip())


TOPIC = ("--task", "topic", "--choose", "--device", "cpu", "--precision", "float32")


def test_several_texts_are_answered_in_one_call_each_on_its_line(run):
    texts = ("the team won", "the market fell")
    lines = said("predict", run, *texts, *TOPIC).splitlines()
    assert lines == [said("predict", run, text, *TOPIC).strip() for text in texts]


def test_json_lines_are_the_answers_of_json_one_a_line(run):
    texts = ("the team won", "the market fell")
    lines = said("predict", run, *texts, *TOPIC, "--jsonl").splitlines()
    assert [json.loads(line) for line in lines] == json.loads(
        said("predict", run, *texts, *TOPIC, "--json")
    )


def test_a_line_of_the_standard_input_is_answered_before_the_next_is_there(run):
    words = ("predict", str(run), "-", *TOPIC, "--jsonl")
    command = [sys.executable, "-m", "amlora", *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for text in ("the team won", "", "the market fell"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == (text or None)
        process.stdin.close()
        assert process.wait() == 0


def test_a_text_that_is_a_dash_stands_for_standard_input_alone(run):
    line = "amlora: TEXT: '-' stands for the standard input, and for it alone.\n"
    assert amlora("predict", run, "-", "text", *TOPIC)[::2] == (2, line)


def test_explained_answers_name_who_answered_and_how_sure_that_is(run):
    answer, told = said("predict", run, "the team won train 3", *TOPIC, "--explain").splitlines()
    assert answer in ("Sports", "Business")
    assert told.startswith("    answered by topic; likeliest topic (")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({}, "nothing is chosen by the text: all LoRAs answer together"),
        ({"stages": {"none": 1.0}, "posterior": {}}, "answered by the base model"),
        (
            {"stages": {"none": 1.0}, "posterior": {"a": 0.9, "b": 0.1}, "distance": 1.5},
            "answered by the base model; likeliest a (0.900), then b (0.100); at 1.50 of the"
            " distance at which a text is no longer a's",
        ),
        (
            {"stages": {"a": 0.25, "b": 0.75}, "posterior": {"b": 1.0}, "distance": 0.0},
            "answered by a at 0.25 and b at 0.75; likeliest b (1.000)",
        ),
    ],
)
def test_an_explanation_is_one_line(answer, line):
    assert explained(answer) == line


def test_ways_to_print_exclude_each_other(run):
    line = "amlora: --json and --jsonl exclude each other.\n"
    assert amlora("predict", run, "text", *TOPIC, "--json", "--jsonl")[::2] == (2, line)
