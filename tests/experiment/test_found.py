"""Runs whose borders nobody tells: what is found, learned, recorded and shown."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

import amlora
from amlora import files
from amlora.cli import main as command
from amlora.engine.borders import Borders
from amlora.errors import InputError
from amlora.experiment.borders import entry_of, find_stages, parts_at, stages_at, summary_line
from amlora.experiment.plan import plan
from amlora.experiment.prepare import Prepared, prepare
from amlora.experiment.reporter import Silent
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, resolved, settings_from
from amlora.experiment.stages import StageLoop
from amlora.experiment.stop import Interrupted
from amlora.methods import METHODS
from amlora.records.run import read_folder
from amlora.records.schema import Boundaries
from amlora.report.matrix import matrix_rows
from amlora.report.page import build_page
from amlora.skills.load import skills_of
from amlora.streams.arrival import arrivals
from killed import Kill, bits, killed
from small_run import write_rows
from stopped import StopAt
from stored import read_record

INSTRUCTIONS = {
    "feel": "Is it good or bad?",
    "topic": "Name the topic, please: sports, markets, or what else is told of.",
    "kind": "1 2 3 4 5 6 7 8 9: which number?",
}
LABELS = {"feel": ("good", "bad"), "topic": ("team", "market"), "kind": ("one", "two")}
ROWS = 40
"""Train rows of each task."""
DETECTION = {"window": 12, "least": 12, "false_alarm": 1e-4}
STEPS = 4


def write_tasks(folder: Path) -> Path:
    """Write three tasks whose prompts differ by their instructions."""
    for task, labels in LABELS.items():
        for split, count in {"train": ROWS, "dev": 4, "test": 8}.items():
            pairs = [(number, labels[number % 2]) for number in range(count)]
            records = [
                {"text": f"{split} {n * 7} is {label}", "label": label} for n, label in pairs
            ]
            write_rows(folder / task / f"{split}.jsonl", records)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("found"))


def settings(model: Path, data: Path, method: str = "anchored_lora", **stream: Any) -> RunSettings:
    return settings_from(
        {
            "name": "tiny",
            "model": {"name": str(model), "precision": "float32", "max_tokens": 96},
            "method": {"name": method},
            "stream": {
                "data_root": str(data),
                "tasks": [
                    {"name": name, "source": name, "instruction": words}
                    for name, words in INSTRUCTIONS.items()
                ],
                **({"boundaries": "found", "detection": DETECTION} | stream),
            },
            "train": {"steps": STEPS, "batch": 4, "lr": 1e-2, "checkpoint_every": 2},
            "evaluate": {"attention_rows": 2, "max_new_tokens": 8},
        }
    )


@pytest.fixture(scope="module")
def made(llama_folder, data) -> Prepared:
    """Read it only."""
    return prepare(settings(llama_folder, data))


@pytest.fixture(scope="module")
def whole(llama_folder, data, tmp_path_factory) -> Path:
    """A finished run of found borders."""
    return run(settings(llama_folder, data), runs=tmp_path_factory.mktemp("runs"))


def test_found_stages_are_cut_where_the_detector_says(made):
    found = made.identity.boundaries
    assert None not in found.delays and found.false_alarms == 0
    assert found.true == (ROWS, 2 * ROWS)
    assert [len(stage.rows) for stage in made.stages] == [
        found.found[0],
        found.found[1] - found.found[0],
        3 * ROWS - found.found[1],
    ]
    assert [stage.task for stage in made.stages] == ["stage-1", "stage-2", "stage-3"]
    for stage, own, late in zip(made.stages, INSTRUCTIONS, [0, *found.delays], strict=True):
        tasks = [row.task for row in stage.rows]
        assert tasks[: ROWS - late] == [own] * (ROWS - late)
        listed = sorted((task.name, e.row) for task in stage.sources for e in task.train)
        assert listed == sorted((row.task, row.row) for row in stage.rows)
    line = summary_line(found)
    assert line.startswith("stream.boundaries: 2 of 2 borders found; false alarms: 0; delays in ")


def test_a_stage_is_told_by_rows_that_are_surely_its_own(made, whole):
    """Those that a border was found in are learned, and are nobody's in the statistic."""
    late, window = made.identity.boundaries.delays, DETECTION["window"]
    for stage, own in zip(made.stages, INSTRUCTIONS, strict=True):
        assert {row.task for row in stage.typical()} == {own}
    counts = [len(stage.typical()) for stage in made.stages]
    learned = [len(stage.rows) for stage in made.stages]
    assert counts == [learned[0] - window, learned[1] - window, learned[2]]
    assert all(0 < rows <= window for rows in late)
    stages = skills_of(amlora.load(whole / "skills")[0]).mixture.stages
    assert stages is not None and stages.counts.tolist() == counts


def test_labels_and_names_of_tasks_change_no_border(llama_folder, data):
    plain = settings(llama_folder, data, boundaries="told", detection={})
    made = prepare(plain)
    found = settings(llama_folder, data)
    tasks, rows = made.stream.tasks, [stage.rows for stage in made.stages]
    _, before = find_stages(found, tasks, rows, made.backbone)
    others = [dataclasses.replace(task, name=f"x{k}") for k, task in enumerate(tasks)]
    changed = [
        [dataclasses.replace(row, task="x", gold="y", answer_ids=(7, 8)) for row in task_rows]
        for task_rows in rows
    ]
    _, after = find_stages(found, others, changed, made.backbone)
    assert before.found and after == before


def finished(made: Prepared, folder: Path) -> dict[str, Any]:
    """Do a prepared run; return its record."""
    folder.mkdir()
    StageLoop(made, folder, Accelerator(cpu=True), Silent(), time.perf_counter()).run()
    return read_record(folder)


def test_borders_found_exactly_where_they_are_give_what_told_ones_give(
    llama_folder, data, tmp_path
):
    told_settings = settings(llama_folder, data, boundaries="told", detection={})
    first = finished(prepare(told_settings), tmp_path / "told")
    second_made = prepare(told_settings)
    order = arrivals(list(INSTRUCTIONS), [ROWS] * 3, 0.0, 0)
    exact = [ROWS, 2 * ROWS]
    tasks = second_made.stream.tasks
    rows = [stage.rows for stage in second_made.stages]
    owners = [k for k in range(3) for _ in range(ROWS)]
    second_made.stages = stages_at(Borders(exact, owners), order, told_settings, tasks, rows)
    found = entry_of(exact, order)
    second_made.identity = second_made.identity.model_copy(update={"boundaries": found})
    second_made.course = found.course
    second = finished(second_made, tmp_path / "found")
    for key in ("R", "entered", "metrics", "evaluation"):
        assert second[key] == first[key]
    without = [{key: value for key, value in s.items() if key != "task"} for s in first["stages"]]
    assert [{k: v for k, v in s.items() if k != "task"} for s in second["stages"]] == without
    assert second["boundaries"]["learned"] == second["boundaries"]["first"] == [1, 2, 3]


def test_missed_borders_and_false_alarms_are_counted_and_tasks_still_have_their_stage():
    order = arrivals(["a", "b", "c"], [10, 10, 10], 0.0, 0)
    assert [len(part) for part in parts_at([4, 26], order)] == [4, 22, 4]
    found = entry_of([4, 26], order)
    assert found == Boundaries(
        found=(4, 26),
        true=(10, 20),
        delays=(None, 6),
        false_alarms=1,
        first=(1, 2, 2),
        learned=(2, 2, 2),
    )


def test_a_record_has_the_borders_and_metrics_of_its_stages(whole):
    record = read_record(whole)
    found = record["boundaries"]
    assert len(record["R"]) == len(record["stages"]) + 1 == len(found["found"]) + 2
    assert [stage["task"] for stage in record["stages"]] == ["stage-1", "stage-2", "stage-3"]
    assert record["settings"]["stream"]["detection"] == DETECTION
    metrics, R = record["metrics"], record["R"]
    diagonal = [R[stage][j] for j, stage in enumerate(found["learned"])]
    assert metrics["learning_accuracy"] == pytest.approx(sum(diagonal) / 3)
    assert metrics["fwt"] is None and metrics["bwt"] is not None
    assert record["routing"]["stages"] == ["none", "stage-1", "stage-2", "stage-3"]
    printed = matrix_rows(read_folder(whole).record)
    assert [row[0] for row in printed][2:] == [f"after stage {k}" for k in (1, 2, 3)]


def page_of(*folders: Path) -> str:
    return build_page([read_folder(folder) for folder in folders])


def test_a_page_and_the_model_card_show_found_stages(whole, llama_folder, data, tmp_path):
    other = run(settings(llama_folder, data, boundaries="told", detection={}), runs=tmp_path)
    page = page_of(whole)
    assert "2 of 2 borders found; false alarms: 0; stages: 3." in page
    assert "after stage 3" in page and "borders found, not told" in page
    assert "borders found" not in page_of(other)
    assert "after stage 3" in page_of(whole, other)
    (card,) = (whole / "skills" / "versions").glob("*/README.md")
    assert "| after stage 1 |" in card.read_text()


@pytest.mark.parametrize(
    ("detector", "more"),
    [({"least": 400}, False), ({"window": 6, "least": 4, "false_alarm": 0.1}, True)],
)
def test_fewer_or_more_stages_than_tasks_are_learned_shown_and_loaded(
    llama_folder, data, tmp_path, capsys, detector, more
):
    folder = run(settings(llama_folder, data, detection=DETECTION | detector), runs=tmp_path)
    record = read_record(folder)
    stages = len(record["stages"])
    assert stages > len(LABELS) if more else stages == 1
    assert len(record["R"]) == stages + 1
    assert (record["metrics"]["forgetting"] is None) == (stages == 1)
    assert f"stages: {stages}." in page_of(folder)
    model: Any = amlora.load(folder / "skills")[0]
    assert len(model.amlora.mixture) == stages
    with pytest.raises(SystemExit):
        command.main(["show", str(folder)])
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    alarms = record["boundaries"]["false_alarms"]
    assert ["false", "alarms", str(alarms)] in printed
    learned = [str(stage) for stage in record["boundaries"]["learned"]]
    for name, stage in zip(INSTRUCTIONS, learned, strict=True):
        assert any(line[0] == name and line[-1] == stage for line in printed if line)


@pytest.mark.parametrize(
    "wrong", [{"delays": [3]}, {"first": [1, 1, 9]}, {"learned": [1, 1]}, {"true": [40]}]
)
def test_borders_that_do_not_fit_a_record_are_refused(whole, tmp_path, wrong):
    for name in ("rows.jsonl", "attention.json"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    record = read_record(whole)
    record["boundaries"] |= wrong
    files.write_sealed(tmp_path / "record.json", record)
    with pytest.raises(InputError, match="its found borders do not fit its"):
        page_of(tmp_path)


@pytest.mark.parametrize("any_folder", ["t5"], indirect=True)
@pytest.mark.parametrize("depth", [0, 1])
def test_the_methods_own_vectors_tell_where_stages_begin(any_folder, data, tmp_path, depth):
    plain = resolved(settings(any_folder, data))
    plain["method"]["feature_layers"] = depth
    plain["train"] |= {"steps": 1}
    record = read_record(run(settings_from(plain), runs=tmp_path))
    assert len(record["stages"]) == len(record["boundaries"]["found"]) + 1 == 3
    assert all(value is not None for value in record["R"][-1])


def test_blurred_borders_are_found_in_the_stretch_in_which_tasks_fade(llama_folder, data):
    found = prepare(settings(llama_folder, data, border=0.2)).identity.boundaries
    assert found is not None and None not in found.delays
    assert 32 <= found.true[0] < 48


def test_a_stopped_run_goes_on_to_the_same_record(whole, llama_folder, data, tmp_path):
    again = settings(llama_folder, data)
    with pytest.raises(Interrupted):
        run(again, runs=tmp_path, progress=StopAt(STEPS + 2))
    assert bits(run(again, runs=tmp_path)) == bits(whole)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, STEPS, STEPS + 1, 8, 11, 12])
def test_a_killed_run_goes_on_to_the_same_record(whole, llama_folder, data, tmp_path, step):
    again = settings(llama_folder, data)
    assert killed(again, tmp_path, Kill(step=step))
    assert not killed(again, tmp_path)
    assert bits(tmp_path / whole.name) == bits(whole)


def test_a_dry_run_has_the_found_stages(llama_folder, data, made):
    planned = plan(settings(llama_folder, data))
    assert [stage["rows"] for stage in planned["stages"]] == [len(s.rows) for s in made.stages]


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"anchored_lora"}))
def test_methods_that_do_not_tell_prompts_apart_are_refused(llama_folder, data, method):
    with pytest.raises(InputError, match=f"^stream.boundaries: {method} has no stat") as refused:
        prepare(settings(llama_folder, data, method))
    assert "\n" not in str(refused.value)


def test_a_number_for_each_task_is_refused(llama_folder, data):
    plain = resolved(settings(llama_folder, data))
    plain["method"] |= {"combine": "attention", "sparsity": [0.0, 0.0, 0.0]}
    with pytest.raises(InputError, match=r"^method.sparsity has one number per task, but with"):
        prepare(settings_from(plain))


def test_settings_without_effect_and_unknown_ones_are_refused(llama_folder, data):
    with pytest.raises(InputError, match=r"^stream.detection has no effect while boundaries is"):
        settings(llama_folder, data, boundaries="told")
    with pytest.raises(InputError, match=r"^stream.boundaries: 'fund' is not one of"):
        settings(llama_folder, data, boundaries="fund")
