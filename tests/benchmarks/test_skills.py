"""Skills beside what people do today: cells on a tiny model, and tables of planted results."""

import pytest

from amlora import files
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings, TaskSettings
from small_run import TELLING, write_telling_tasks


@pytest.fixture
def tasks(tmp_path):
    """Two tiny tasks."""
    root = write_telling_tasks(tmp_path / "tasks", {"train": 12, "dev": 4, "test": 6})
    named = tuple(TaskSettings(name=name, source=name) for name in TELLING)
    return load_stream(StreamSettings(data_root=str(root), tasks=named))[0].tasks


@pytest.fixture
def measured(bench, llama_folder, tasks, tmp_path):
    """Measure a line of those tasks: a function of its name and how many are learned."""
    cells, lines = bench("skills_cells"), bench("skills_lines")
    protocol = cells.Protocol(model=str(llama_folder), max_tokens=64, steps=3, batch=4)

    def measure(line: str, count: int, place: str):
        out, cell = tmp_path / f"{place}.jsonl", cells.Cell(line, 0.01, 5)
        cells.check(out, protocol)
        lines.measure(cell, tasks[:count], protocol, out, cell.folder(tmp_path / place))
        return out, cells.read(out)

    return measure


def told(entries):
    """Return what of entries must not depend on the clock."""
    return [{key: e[key] for key in ("stage", "task", "scores", "losses")} for e in entries]


@pytest.mark.parametrize("line", ["one", "merge", "told", "learn"])
def test_a_line_that_was_stopped_between_two_tasks_ends_the_same(measured, line):
    measured(line, 1, "stopped")
    assert told(measured(line, 2, "stopped")[1]) == told(measured(line, 2, "whole")[1])


def test_a_line_that_was_stopped_before_its_scores_were_kept_ends_the_same(measured):
    out, whole = measured("one", 2, "stopped")
    kept = files.read_bytes(out).splitlines(keepends=True)
    files.write_bytes(out, b"".join(kept[:-1]))
    assert told(measured("one", 2, "stopped")[1]) == told(whole)


def test_all_lines_learn_the_first_task_alike(measured):
    firsts = [measured(line, 1, line)[1][0] for line in ("one", "merge", "told")]
    assert told(firsts[:1]) == told(firsts[1:2]) == told(firsts[2:])
    [learned] = measured("learn", 1, "learn")[1]
    assert learned["tokens"] == firsts[0]["tokens"] and learned["losses"] == firsts[0]["losses"]


def test_a_row_that_another_skill_or_none_answers_is_misrouted(measured):
    last = measured("learn", 2, "learn")[1][-1]
    astray = [
        count
        for task, answered in last["answered"].items()
        for name, count in answered.items()
        if name != task
    ]
    assert last["misrouted"] == sum(astray)
    assert {task: sum(by.values()) for task, by in last["answered"].items()} == {
        task: len(scores) for task, scores in last["scores"].items()
    }


def test_the_rate_is_chosen_on_dev_rows_of_the_first_task(measured, tasks):
    [entry] = measured("choice", 1, "choice")[1]
    assert len(entry["dev"]) == len(tasks[0].dev) and "scores" not in entry


def test_a_line_that_is_told_the_task_keeps_what_it_scored(measured):
    first, second = measured("told", 2, "told")[1]
    assert second["scores"]["feel"] == first["scores"]["feel"]
    assert second["stored_bytes"] == 2 * first["stored_bytes"]


def test_one_lora_stays_one(measured):
    first, second = measured("one", 2, "one")[1]
    assert second["stored_bytes"] == first["stored_bytes"]


def test_other_settings_are_refused_in_a_file_that_has_results(bench, tmp_path):
    cells = bench("skills_cells")
    cells.check(tmp_path / "out.jsonl", cells.Protocol())
    with pytest.raises(SystemExit, match="name another file"):
        cells.check(tmp_path / "out.jsonl", cells.Protocol(steps=2))


def planted(tables, line, rate, seed, scores, misrouted=None):
    """Return a cell's entries: `scores` has each task's after each stage, up to that stage."""
    return [
        {
            **{"line": line, "rate": rate, "seed": seed, "stage": k, "task": task},
            "scores": {t: [s] for t, s in zip(tables.TASKS, scores[k], strict=False)},
            **{"train_seconds": 2.0, "stored_bytes": 5e6, "peak_bytes": 2e9},
            **({} if misrouted is None else {"misrouted": misrouted}),
        }
        for k, task in enumerate(tables.TASKS)
    ]


@pytest.fixture
def entries(bench):
    """One LoRA that forgets all but the last task, at two rates, and `learn` that does not."""
    tables = bench("skills_tables")
    count = len(tables.TASKS)
    base = [
        {"line": "base", "rate": 0.0, "seed": seed, "stage": k, "task": t, "scores": {t: [0.0]}}
        for seed in (0, 1)
        for k, t in enumerate(tables.TASKS)
    ]
    choice = [
        {"line": "choice", "rate": rate, "seed": seed, "stage": 0, "dev": [rate == 0.001]}
        for rate in (0.001, 0.003)
        for seed in (0, 1)
    ]
    forgets = [[0.0] * k + [1.0] for k in range(count)]
    keeps = [[0.5] * (k + 1) for k in range(count)]
    return tables, [
        *base,
        *choice,
        *(e for s in (0, 1) for e in planted(tables, "one", 0.001, s, forgets)),
        *(e for s in (0, 1) for e in planted(tables, "one", 0.003, s, keeps)),
        *(e for s in (0, 1) for e in planted(tables, "learn", 0.001, s, keeps, misrouted=s)),
    ]


def test_the_rate_that_the_first_tasks_dev_rows_favour_is_marked(entries):
    tables, found = entries
    rows = tables.table(found, "rates").set_index(["line", "rate"])
    assert [*rows.index] == [
        ("one LoRA, trained on and on", "0.001 *"),
        ("one LoRA, trained on and on", "0.003"),
        ("amlora learn", "0.001 *"),
    ]


def test_the_table_of_lines_shows_what_was_forgotten_and_misrouted(entries):
    tables, found = entries
    one, learn = tables.table(found, "lines").to_dict("records")
    assert (one["average, %"], one["forgetting, points"]) == ("20.0", "100.0")
    assert one["BWT, points"] == "\N{MINUS SIGN}100.0" and one["misrouted, %"] == "\N{EN DASH}"
    assert learn["misrouted, %"] == "10.0"  # one row of five, in one of two seeds
    assert one["beside learn, points"].startswith("\N{MINUS SIGN}30.0 (")
    assert (one["MB a skill"], one["training, s"], one["peak, GB"]) == ("1.0", "10", "2.0")


def test_the_table_of_matrices_has_a_row_before_and_after_each_task(entries):
    tables, found = entries
    rows = tables.table(found, "matrices")
    assert [*rows["after"][:6]] == ["nothing", *tables.TASKS]
    assert [*rows.iloc[5]][2:] == ["0.0"] * 4 + ["100.0"]


def test_a_run_that_is_not_finished_is_left_out(entries):
    tables, found = entries
    assert len(tables.runs_of(found)) == len(tables.runs_of(found[:-1])) + 1
