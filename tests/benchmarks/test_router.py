"""The study of prompts in other words: its tables, its page, and its parts on made-up data."""

from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.streams.task import Example, Task, TaskStream

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "router-smollm2-135m.json"
PAGE = ROOT / "docs" / "router.md"


@pytest.fixture
def record():
    return files.read_json(RESULTS)


def test_every_table_is_filled(bench, record):
    tables = bench("router_tables")
    for name in tables.TABLES:
        head, _, *lines = tables.table(record, name).splitlines()
        assert lines and {line.count("|") for line in lines} == {head.count("|")}, name


def test_the_command_prints_a_table(bench, record, monkeypatch, capsys):
    tables = bench("router_tables")
    monkeypatch.setattr("sys.argv", ["router_tables.py", str(RESULTS), "small"])
    tables.main()
    assert capsys.readouterr().out.strip() == tables.table(record, "small")


def test_the_settings_of_the_page_are_those_that_were_measured(record):
    best, page = record["made"]["settings"]["best"], PAGE.read_text(encoding="utf-8")
    for name in ("words", "tokens", "shrinkage", "temperature", "reject"):
        value = best[name]
        told = f'"{value}"' if isinstance(value, str) else f"{value:g}"
        assert f"`{name} = {told}`" in page, name


def test_the_pages_own_numbers_are_those_of_the_kept_results(bench, record):
    tables, page = bench("router_tables"), PAGE.read_text(encoding="utf-8")
    for kind in ("fit in own words", "as it is"):
        found = tables.one(record["bare"], way="any words", text=kind)
        assert f"{tables.percent(found)} %" in page
    [dearest] = [e for e in record["cost"] if (e["way"], e["stages"]) == ("any words", 100)]
    assert f"{100 * dearest['seconds'] / dearest['pass_seconds']:.1f} % of its own" in page
    few = tables.one(record["words"], way="any words", wordings=1, rows=16, test="as asked")
    assert f"{tables.percent(few)} %" in page


def lessons(ways):
    generator = torch.Generator().manual_seed(0)
    found = []
    for place in range(3):
        texts = torch.randn(30, 6, generator=generator)
        texts[:, 0] += 6 * place
        moved = texts + torch.tensor([0, 3.0 * (place - 1), 0, 0, 0, 0])
        found.append(ways.Lesson(moved, texts))
    return found


def test_many_scores_are_the_packages_own(bench):
    ways = bench("router_ways")
    for how in (ways.settings(), ways.BEST):
        stages = ways.staged(how, lessons(ways))
        x = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
        each = torch.stack([stages.scores(vector) for vector in x])
        many = ways.many(stages, x)
        torch.testing.assert_close(many - many[:, :1], each - each[:, :1])


def test_every_way_finds_planted_stages(bench):
    ways = bench("router_ways")
    known = lessons(ways)
    for name, (_, learn) in ways.WAYS.items():
        score = learn(known)
        for place, lesson in enumerate(known):
            right = score(lesson.prompts).argmax(1) == place
            assert right.double().mean() > 0.9, name


def test_means_of_few_rows_differ_when_they_are_not_taken_for_certain(bench):
    ways = bench("router_ways")
    known = lessons(ways)
    few = [known[0], ways.Lesson(known[1].prompts[:3], known[1].texts[:3])]
    x = known[2].prompts
    sure = ways.many(ways.plug_in(ways.staged(ways.BEST, few)), x)
    assert not torch.allclose(sure, ways.many(ways.staged(ways.BEST, few), x))


def test_reliability_by_hand(bench):
    measure = bench("router_measure")
    scores = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55], [0.25, 0.75]]).log()
    found = measure.reliability(scores, torch.tensor([0, 1, 1, 1]), 1.0)
    assert found["bins"][-1] == {"bin": 9, "rows": 2, "told": 0.95, "true": 0.5}
    error = 2 / 4 * 0.45 + 1 / 4 * 0.45 + 1 / 4 * 0.25
    assert found["error"] == pytest.approx(error, abs=1e-4)


def test_an_interval_of_a_share_holds_it_and_a_gap_to_itself_is_none(bench):
    measure = bench("router_measure")
    hits = [[1.0] * 7 + [0.0] * 3, [1.0] * 9 + [0.5]]
    found = measure.share(hits)
    assert found["mean"] == pytest.approx((0.7 + 0.95) / 2)
    assert found["low"] < found["mean"] < found["high"]
    assert measure.gap(hits, hits) == {"mean": 0.0, "low": 0.0, "high": 0.0}


def made_world(bench, parts):
    """Three tasks far apart, whose prompts in all words are their texts moved a little."""
    world = bench("router_world")
    names = ("one", "two", "three")
    tasks = tuple(small_task(name, ("a", "b"), 2) for name in names)
    made = world.World(None, TaskStream(name="s", tasks=tasks))
    generator = torch.Generator().manual_seed(0)
    kinds = {kind for kinds in parts.TESTS.values() for kind in kinds}
    kinds |= {f"{kind}, last question" for kind in parts.TESTS[parts.CHAT]}
    kinds |= {"train, text alone", *(f"train, wording {w}" for w in range(4))}
    for place, name in enumerate(names):
        for kind in sorted(kinds):
            rows = 200 if kind.startswith("train") else 6
            for vector in ("mean", "root", "ends"):
                x = torch.randn(rows, 6, generator=generator)
                made.kept[name, kind, vector] = x + torch.tensor([9.0 * place, 0, 0, 0, 0, 0])
    return made


def test_parts_find_planted_tasks_in_all_words(bench, monkeypatch):
    parts = bench("router_parts")
    monkeypatch.setattr(parts, "DRAWS", 1)
    world = made_world(bench, parts)
    for name in ("words", "uneven"):
        found = parts.PARTS[name](world, "")
        assert all(entry["mean"] > 0.9 for entry in found), name
        assert {entry["test"] for entry in found} <= {*parts.TESTS}
    for entry in parts.returning(world, ""):
        assert entry["first"] + entry["again"] + entry["elsewhere"] == 18
        assert not entry["elsewhere"]
    assert all(entry["error"] < 0.1 for entry in parts.sure(world, "") if entry["rows"] == 96)


def small_task(name: str, labels: tuple[str, ...], rows: int) -> Task:
    examples = tuple(
        Example(text=f"{name} {number}", label=labels[number % len(labels)], row=f"train:{number}")
        for number in range(rows)
    )
    return Task(name=name, instruction="Which?", options=labels, train=examples, dev=(), test=())


def test_small_tasks_share_no_row_and_use_labels_evenly(bench, monkeypatch):
    prompts = bench("router_prompts")
    monkeypatch.setattr(prompts, "PAIRS", {"one": 4})
    monkeypatch.setattr(prompts, "WHOLE", ("two",))
    monkeypatch.setattr(prompts, "ALSO", ("one",))
    monkeypatch.setattr(prompts, "SMALL_TRAIN", 6)
    monkeypatch.setattr(prompts, "SMALL_TEST", 2)
    tasks = small_task("one", ("a", "b", "c", "d"), 80), small_task("two", ("x", "y"), 20)
    found = prompts.small_tasks(TaskStream(name="s", tasks=tasks))
    assert len(found) == 6
    pairs = [task.task.options for name, task in found.items() if name.startswith("one: ")]
    assert sorted("".join(label for pair in pairs for label in pair)) == list("aabbccdd")
    texts = [row.text for task in found.values() for row in (*task.train, *task.test)]
    assert len(texts) == len(set(texts)) == 6 * 8
    too_few = TaskStream(name="s", tasks=(small_task("one", ("a", "b", "c", "d"), 20), tasks[1]))
    with pytest.raises(ValueError, match="too few rows are left"):
        prompts.small_tasks(too_few)


def test_a_text_stands_once_in_every_kind_of_words(bench):
    prompts = bench("router_prompts")
    task = small_task("agnews", ("World", "Sports"), 2)
    for number in range(len(prompts.WORDS["layouts"])):
        found = prompts.asked(task, "the text", number, number)
        assert found.text == "the text" and "World" in found.before + found.after
    assert prompts.free(task, "the text", 2).full.count("the text") == 1
    copa = small_task("copa", ("A", "B"), 2)
    text = 'Which sentence is the cause of "It rained."? Choose one between A and B.\nA: x\nB: y'
    found = prompts.asked(copa, text, 1)
    assert found.full.startswith("It rained.\nPick the more plausible cause, A or B.\nOption")
    assert found.text == "A: x\nB: y"
