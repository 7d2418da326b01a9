"""What `--dry-run` tells: tasks, prompts, steps, parameters, needs."""

import json

import pytest

from amlora.experiment.plan import plan
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings
from small_run import small_settings, write_tasks
from stored import read_record


def settings(tmp_path, model, *overrides: str, method: str | None = None) -> RunSettings:
    if not (tmp_path / "data").exists():
        write_tasks(tmp_path / "data")
    path = tmp_path / "small.toml"
    path.write_text(small_settings(tmp_path / "data", model))
    return load_settings(path, overrides, method)


def test_a_plan_is_plain_values(tmp_path, any_folder):
    planned = plan(settings(tmp_path, any_folder))
    assert json.loads(json.dumps(planned, allow_nan=False)) == planned


def test_it_has_the_tasks_with_their_counts(tmp_path, llama_folder):
    planned = plan(settings(tmp_path, llama_folder, "stream.train_per_class=3"))
    counts = [[task[k] for k in ("name", "train", "dev", "test")] for task in planned["tasks"]]
    assert counts == [["feel", 6, 8, 8], ["topic", 6, 8, 8]]


def test_steps_follow_from_rows_batch_and_epochs(tmp_path, llama_folder):
    wanted = ["train.steps=none", "train.epochs=2", "train.batch=3"]
    planned = plan(settings(tmp_path, llama_folder, *wanted))
    assert [stage["steps"] for stage in planned["stages"]] == [6, 6]


def test_trained_parameters_are_the_new_lora_and_all_selectors(tmp_path, llama_folder):
    """Query (48 to 48) and value (48 to 24) of two layers, rank 2, and a selector per output."""
    planned = plan(settings(tmp_path, llama_folder))
    lora = 2 * 2 * (48 + 48 + 48 + 24)
    selector = 2 * (48 + 24)
    trained = [stage["trainable_parameters"] for stage in planned["stages"]]
    stored = [stage["stored_parameters"] for stage in planned["stages"]]
    assert trained == [lora + selector, lora + 2 * selector]
    assert stored == [lora + selector, 2 * (lora + selector)]


def test_the_mask_is_1_exactly_on_the_answer_of_a_decoder(tmp_path, llama_folder):
    for prompt in plan(settings(tmp_path, llama_folder))["prompts"]:
        ids, mask = prompt["input_ids"], prompt["loss_mask"]
        assert len(ids) == len(mask)
        assert sorted(mask) == mask and sum(mask) >= 2  # the answer and the end token
        assert prompt["answer"].strip().startswith(prompt["gold"])
        assert prompt["text"].endswith("Answer:")


def test_an_encoder_decoders_answer_is_a_sequence_of_its_own(tmp_path, t5_folder):
    for prompt in plan(settings(tmp_path, t5_folder))["prompts"]:
        assert len(prompt["target_ids"]) == len(prompt["loss_mask"]) == sum(prompt["loss_mask"])
        assert prompt["input_ids"][-1] == prompt["target_ids"][-1] == 1


def test_two_prompts_are_shown_of_the_first_and_the_last_task(tmp_path, llama_folder):
    planned = plan(settings(tmp_path, llama_folder))
    assert [prompt["task"] for prompt in planned["prompts"]] == ["feel", "topic"]


def test_training_all_weights_needs_more_than_training_loras(tmp_path, llama_folder):
    some = plan(settings(tmp_path, llama_folder))["estimate"]
    everything = plan(settings(tmp_path, llama_folder, method="seq_ft"))["estimate"]
    for part in ("gradients", "optimiser"):
        assert everything["memory"][part] > 10 * some["memory"][part]
    assert everything["disk"]["checkpoint"] > 10 * some["disk"]["checkpoint"]


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_the_total_is_the_sum(tmp_path, llama_folder, kind):
    needs = plan(settings(tmp_path, llama_folder))["estimate"][kind]
    assert needs.pop("total") == sum(needs.values()) > 0


def test_checkpointing_keeps_fewer_activations(tmp_path, llama_folder):
    plain = plan(settings(tmp_path, llama_folder))["estimate"]["memory"]
    less = plan(settings(tmp_path, llama_folder, "model.checkpointing=true"))["estimate"]["memory"]
    assert less["activations"] < plain["activations"]
    assert less["weights"] == plain["weights"]


@pytest.mark.parametrize("method", ["sin_lora", "prog_prompt"])
def test_tokens_are_those_of_one_pass_soft_prompts_included(tmp_path, llama_folder, method):
    wanted = settings(tmp_path, llama_folder, "train.steps=none", method=method)
    record = read_record(run(wanted, runs=tmp_path / "runs"))
    planned = plan(wanted)["stages"]
    assert [stage["tokens"] for stage in planned] == [stage["tokens"] for stage in record["stages"]]


def test_soft_prompts_are_activations_too(tmp_path, llama_folder):
    needs = {
        length: plan(
            settings(tmp_path, llama_folder, f"method.length={length}", method="prog_prompt")
        )["estimate"]["memory"]["activations"]
        for length in (1, 11, 21)
    }
    # Two prompts, so each step adds 20 tokens to a row.
    assert needs[21] - needs[11] == needs[11] - needs[1] > 0
