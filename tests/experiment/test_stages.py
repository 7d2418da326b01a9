"""What of a method did next to nothing is recorded and said, stage by stage."""

import json
from pathlib import Path

import pytest

from amlora.engine.train import StageProgress
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings
from amlora.experiment.stages import means, weak_terms
from small_run import small_settings, write_tasks
from stopped import Listening
from stored import read_record


def settings(folder: Path, model: Path, *overrides: str, method: str) -> RunSettings:
    write_tasks(folder / "data")
    path = folder / "small.toml"
    path.write_text(small_settings(folder / "data", model))
    return load_settings(path, overrides, method)


def done(chosen: RunSettings, runs: Path) -> tuple[list[dict], list[str], Path]:
    """Run; return the record's stages, what was warned of, and the folder."""
    heard = Listening()
    folder = run(chosen, runs=runs, progress=heard)
    return read_record(folder)["stages"], heard.warnings, folder


def test_a_term_under_a_hundredth_of_the_tasks_loss_is_weak():
    terms = {"task": 2.0, "ewc": 0.0004, "sparsity": 0.019, "l2": 0.02, "drift": -0.5}
    assert weak_terms(terms) == [
        "the term 'ewc' was 0.02 % of the task's loss, so it did next to nothing.",
        "the term 'sparsity' was 0.95 % of the task's loss, so it did next to nothing.",
    ]
    assert weak_terms({"task": 0.0, "ewc": 0.0}) == weak_terms({}) == []


def test_means_are_over_all_steps_of_a_stage():
    assert means(StageProgress(step=4, terms={"task": 6.0, "lm": 1.0})) == {"task": 1.5, "lm": 0.25}


def test_a_weak_penalty_is_recorded_and_said_and_its_mean_is_that_of_the_log(
    llama_folder, tmp_path
):
    chosen = settings(tmp_path, llama_folder, "method.strength=1e-6", method="ewc")
    (first, second), warned, folder = done(chosen, tmp_path / "runs")
    assert set(first["terms"]) == {"task"} and first["remarks"] == []
    assert set(second["terms"]) == {"task", "ewc"}
    (line,) = second["remarks"]
    assert line.startswith("the term 'ewc' was ") and f"topic: {line}" in warned
    lines = [json.loads(each) for each in (folder / "log.jsonl").read_text().splitlines()]
    for stage, terms in enumerate((first["terms"], second["terms"])):
        steps = [each["terms"] for each in lines if each["stage"] == stage]
        assert terms == pytest.approx(
            {name: sum(step[name] for step in steps) / len(steps) for name in terms}
        )


def test_a_strong_penalty_is_recorded_and_nothing_is_said(llama_folder, tmp_path):
    chosen = settings(tmp_path, llama_folder, "method.strength=0.1", method="n_lora")
    stages, warned, _ = done(chosen, tmp_path / "runs")
    assert all(stage["terms"]["sparsity"] > 0.01 * stage["terms"]["task"] for stage in stages)
    assert warned == [] and all(stage["remarks"] == [] for stage in stages)


@pytest.mark.parametrize(("strength", "said"), [("1e-5", True), ("0.5", False)])
def test_a_soft_threshold_far_below_the_step_is_said(llama_folder, tmp_path, strength, said):
    words = ("method.sparsity_form=proximal", f"method.sparsity={strength}")
    stages, warned, _ = done(
        settings(tmp_path, llama_folder, *words, method="am_lora"), tmp_path / "runs"
    )
    line = "the soft threshold of sparsity_form = 'proximal' moved a weight by lr * 1e-05 a step"
    assert any(f"feel: {line}" in each for each in warned) == said
    assert [bool(stage["remarks"]) for stage in stages] == [said, said]


def test_texts_that_lfpt5_learns_to_write_in_part_are_counted(llama_folder, tmp_path):
    words = ("method.length=3", "method.pseudo.max_text_tokens=6", "method.pseudo.attempts=1")
    stages, warned, _ = done(
        settings(tmp_path, llama_folder, *words, method="lfpt5"), tmp_path / "runs"
    )
    line = "8 of 8 texts have more than method.pseudo.max_text_tokens = 6 tokens; it learned to"
    assert stages[0]["remarks"][-1].startswith(line)
    assert any(each.startswith(f"feel: {line}") for each in warned)
    if not stages[1]["stored_examples"]:
        assert stages[1]["remarks"][0].startswith("no example of an earlier task was kept")
