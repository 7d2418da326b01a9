"""What a run says of its texts before it learns: what is cut or unknown, and room for answers."""

import json
import shutil
from pathlib import Path

import pytest

from amlora.engine.encode import encode_rows
from amlora.engine.load import load_backbone
from amlora.evaluate.lost import Lost
from amlora.experiment.plan import plan
from amlora.experiment.prepare import prepare
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings
from engine.test_encode import words_only
from small_run import small_settings, write_rows, write_tasks
from stopped import Listening
from stored import read_record

GOLD = "the team won the game and the market fell today " * 3
NOTHING = {"shortened": 0, "characters": 0, "unknown": 0, "unwritable": 0}


def settings(folder: Path, model: Path, *overrides: str, method: str | None = None) -> RunSettings:
    if not (folder / "data").exists():
        write_tasks(folder / "data")
    path = folder / "small.toml"
    path.write_text(small_settings(folder / "data", model))
    return load_settings(path, overrides, method)


def retelling(folder: Path, *golds: str) -> None:
    """Write the small tasks, and in place of the second one of free-text answers."""
    write_tasks(folder / "data")
    shutil.rmtree(folder / "data" / "topic")
    for split in ("train", "dev", "test"):
        rows = [{"text": f"{split} {i}", "label": f"{gold}{i}"} for i, gold in enumerate(golds * 2)]
        write_rows(folder / "data" / "topic" / f"{split}.jsonl", rows)


def longest_gold(chosen: RunSettings) -> int:
    """Return the number of tokens of the longest gold answer, its end token included."""
    made = prepare(chosen)
    return max(len(row.answer_ids) for rows in made.scored for row in rows)


def test_the_limit_of_answers_is_raised_to_the_longest_one_and_said(any_folder, tmp_path):
    retelling(tmp_path, GOLD, "the game")
    asked = settings(tmp_path, any_folder, method="sin_lora")
    made, longest = prepare(asked), longest_gold(asked)
    assert longest > 8 and made.settings.evaluate.max_new_tokens == longest
    assert made.identity.settings["evaluate"]["max_new_tokens"] == longest
    line = (
        f"topic: its longest answer has {longest} tokens, its end included;"
        " evaluate.max_new_tokens is raised to it from 8."
    )
    assert line in made.warnings and line in plan(asked)["warnings"]
    given = settings(tmp_path, any_folder, f"evaluate.max_new_tokens={longest}", method="sin_lora")
    told = prepare(given)
    assert not [line for line in told.warnings if "raised" in line]


def test_a_limit_that_suffices_is_left_alone(any_folder, tmp_path):
    retelling(tmp_path, GOLD)
    longest = longest_gold(settings(tmp_path, any_folder, method="sin_lora"))
    for limit in (longest - 1, longest, longest + 9):  # the first cuts the end token alone
        words = f"evaluate.max_new_tokens={limit}"
        made = prepare(settings(tmp_path, any_folder, words, method="sin_lora"))
        assert made.settings.evaluate.max_new_tokens == limit
    words = f"evaluate.max_new_tokens={longest - 2}"
    made = prepare(settings(tmp_path, any_folder, words, method="sin_lora"))
    assert made.settings.evaluate.max_new_tokens == longest


def test_an_option_that_no_row_has_needs_room_too(llama_folder, tmp_path):
    options = json.dumps(["Good", "Bad", GOLD.strip()])
    asked = settings(tmp_path, llama_folder, f"stream.tasks.0.options={options}", method="sin_lora")
    made = prepare(asked)
    assert made.settings.evaluate.max_new_tokens > 20
    assert any(line.startswith("feel: its longest answer has ") for line in made.warnings)


def test_dry_run_run_and_record_say_the_same_of_texts_that_are_shortened(llama_folder, tmp_path):
    write_tasks(tmp_path / "data")
    rows = [{"text": "a good film " * (40 if i else 1), "label": "Good"} for i in range(3)]
    rows += [{"text": "a bad film", "label": "Bad"}]
    write_rows(tmp_path / "data" / "feel" / "train.jsonl", rows)
    chosen = settings(tmp_path, llama_folder, "model.max_tokens=40", method="sin_lora")
    planned, heard = plan(chosen), Listening()
    record = read_record(run(chosen, runs=tmp_path / "runs", progress=heard))
    assert heard.warnings == planned["warnings"]
    (line,) = [line for line in heard.warnings if line.startswith("feel: 2 of 4 train texts are ")]
    lost = record["tasks"][0]["lost"]
    assert lost["train"] == {**NOTHING, "shortened": 2, "characters": lost["train"]["characters"]}
    assert 300 < lost["train"]["characters"] < 480
    assert f"max_tokens = 40 allows and were shortened, by {lost['train']['characters']}" in line
    assert lost["test"] == NOTHING and record["tasks"][1]["lost"] == {
        "train": NOTHING,
        "test": NOTHING,
    }
    assert [task["lost"] for task in planned["tasks"]] == [task["lost"] for task in record["tasks"]]


def test_nothing_is_said_where_nothing_is_lost(any_folder, tmp_path):
    made = prepare(settings(tmp_path, any_folder))
    assert made.warnings == []
    assert [task.lost for task in made.identity.tasks] == [{"train": Lost(), "test": Lost()}] * 2


@pytest.fixture
def lossy(t5_folder, tmp_path) -> Path:
    """A model whose tokenizer has no tokens for digits."""
    backbone = words_only(load_backbone(settings(tmp_path, t5_folder).model))
    folder = shutil.copytree(t5_folder, tmp_path / "lossy")
    backbone.tokenizer.save_pretrained(folder)
    return folder


def test_characters_that_a_tokenizer_lacks_are_counted_in_prompts_and_free_text(lossy, tmp_path):
    shutil.rmtree(tmp_path / "data")
    retelling(tmp_path, "Good film ", "Bad film ")  # a digit follows
    chosen = settings(tmp_path, lossy, "stream.tasks.1.instruction=Choose", method="sin_lora")
    made = prepare(chosen)
    assert made.identity.tasks[1].lost["test"] == Lost(unknown=4, unwritable=4)
    assert "topic: 4 of 4 train prompts and 4 of 4 test prompts have characters that" in "\n".join(
        made.warnings
    )
    assert "topic: 4 of 4 train answers and 4 of 4 test answers have characters that the" in (
        "\n".join(made.warnings)
    )


def test_a_byte_level_tokenizer_lacks_nothing(llama_folder, tmp_path):
    retelling(tmp_path, "naïve 好 ☃ ", "1 ")
    backbone = load_backbone(settings(tmp_path, llama_folder).model)
    assert backbone.tokenizer.unk_token_id is not None
    made = prepare(settings(tmp_path, llama_folder, method="sin_lora"))
    assert made.identity.tasks[1].lost == {"train": Lost(), "test": Lost()}
    assert encode_rows(backbone, made.stream.tasks[1], (), prefix="off", form="full")[0] == []


def test_texts_of_no_task_that_are_shortened_are_said(llama_folder, tmp_path):
    words = ["evaluate.general=builtin", "model.max_tokens=24"]
    made = prepare(settings(tmp_path, llama_folder, *words, method="sin_lora"))
    said = "\n".join(made.warnings)
    assert "evaluate.general: " in said and " passage texts " in said
