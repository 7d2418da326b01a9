"""`amlora figure`: files by their ending, numbers on the screen, and what is refused."""

import csv
import io
from pathlib import Path

import pytest

from amlora.cli.figure import Name
from command import amlora
from figure_records import MODULES, attention, four_schemes, lower, write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of five runs, one of them scored on dev rows, beside the current folder's files."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    write_run(runs, scores=attention())
    write_run(runs, name="ramp", newcomer="ramp", scores=attention(own=0.7))
    write_run(runs, "inc_lora", lower(0.2))
    write_run(runs, "sin_lora", lower(0.3))
    write_run(runs, "inc_lora", lower(0.1), name="select-inc_lora", split="dev")
    (tmp_path / "mine.svg").write_text("mine")
    return runs


def figure(name: str, *words: object) -> str:
    """Run the command, which must succeed in silence; return what it prints."""
    status, out, err = amlora("figure", name, "runs", *words)
    assert (status, err) == (0, "")
    return out


def test_without_a_file_the_numbers_are_printed(store):
    out = figure("3")
    assert "Figure 3: accuracy as later tasks arrive, with am_lora and without (inc_lora)\n" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["a", "with", "am_lora", "90.0", "80.0", "60.0"] in rows
    assert ["a", "without", "inc_lora", "70.0", "60.0", "40.0"] in rows
    assert "ramp" not in out
    assert out.endswith("Left out: 1 run scored on dev rows.\n")


def test_other_lines_can_be_set_beside_one_another(store):
    out = figure("3", "--with", "ramp", "--without", "sin_lora")
    assert "with ramp and without (sin_lora)" in out and "am_lora" not in out
    assert ["a", "without", "sin_lora", "60.0", "50.0", "30.0"] in map(str.split, out.splitlines())


def test_figure_4_shows_the_task_and_the_line_that_are_asked_for(store):
    out = figure("4", "--task", "b", "--with", "ramp")
    rows = [line.split() for line in out.splitlines()]
    assert len([row for row in rows if row[:1] == ["b"]]) == len(MODULES)
    assert ["b", "q_proj", "0", "10.0", "10.0", "70.0", "10.0"] in rows
    assert "(ramp, seed 0)" in out


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("f.svg", b'<?xml version="1.0"'),
        ("f.png", b"\x89PNG"),
        ("f.PDF", b"%PDF"),
        ("f.csv", b"model,tasks,"),
        ("f.md", b"**Figure 3: "),
    ],
)
def test_the_ending_says_what_is_written(store, name, start):
    assert figure("3", "--out", name) == f"{name}\n"
    assert Path(name).read_bytes().startswith(start)


def test_csv_has_every_number_once(store):
    figure("3", "--out", "f.csv")
    rows = list(csv.DictReader(io.StringIO(Path("f.csv").read_text())))
    # Two lines, and three stages of the first task, two of the second.
    assert len(rows) == 2 * (3 + 2)
    (row,) = [row for row in rows if row["line"] == "inc_lora" and row["learned"] == "2"
              and row["after"] == "3"]  # fmt: skip
    assert float(row["accuracy"]) == pytest.approx(0.3)
    assert (row["task"], row["sd"], row["tasks"]) == ("b", "", "a b c")


def test_a_file_is_not_overwritten_unless_asked_for_and_equal_runs_give_equal_files(store):
    words = ("figure", "3", "runs", "--out", "mine.svg")
    assert amlora(*words)[2] == "amlora: mine.svg: is there already; --force overwrites it.\n"
    assert Path("mine.svg").read_text() == "mine"
    assert amlora(*words, "--force")[0] == 0
    figure("3", "--out", "again.svg")
    assert Path("mine.svg").read_bytes() == Path("again.svg").read_bytes()


WRONG = [
    ("6 runs", "Invalid value for"),
    ("5 runs --with x", "--with: only for figure 3 or 4."),
    ("4 runs --without x", "--without: only for figure 3."),
    ("3 runs --task a", "--task: only for figure 4."),
    ("3 runs --out f.jpg", "f.jpg: name a file that ends in .svg, .png, .pdf, .csv or .md."),
    ("3 runs --out f", "f: name a file that ends in .svg"),
    ("3 runs --out no/f.svg", "no: no such folder."),
    ("3 runs --out runs", "runs: name a file that ends in"),
    ("3 runs --without mtl", "figure 3 needs runs of am_lora and of mtl on equal tasks"),
    ("4 runs --with inc_lora", "figure 4 needs runs of inc_lora whose LoRAs are weighed by"),
    ("4 runs --task bb", "task 'bb': no run has measured its attention; did you mean 'b'?"),
    (
        "5 runs",
        'figure 5 needs am_lora runs with method.selectors "new" and with "all", alike but for'
        " sparsity; there are runs of: am_lora, inc_lora, sin_lora.",
    ),
    ("sparsity runs", "figure sparsity needs am_lora runs with two or more values of"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_input_is_one_line_and_writes_nothing(store, words, line):
    here = Path.cwd()
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    status, out, err = amlora("figure", *words.split())
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before
    assert (status, out) == (2, "")
    assert err.startswith(f"amlora: {line}") and err.count("\n") == 1


def test_an_altered_run_is_refused(store):
    (folder,) = store.glob("ramp-*")
    (folder / "attention.json").write_text("{}")
    line = f"{folder.name}/attention.json: altered"
    status, _, err = amlora("figure", "4", folder)
    assert status == 2 and line in err
    _, out, err = amlora("figure", "4", "runs")
    assert err.startswith("left out: ") and line in err and "ramp" not in out


def documented() -> list[str]:
    page = (ROOT / "docs" / "howto" / "figures.md").read_text(encoding="utf-8")
    return [line.strip() for line in page.splitlines() if line.startswith("    amlora figure")]


@pytest.mark.parametrize("line", documented())
def test_the_commands_in_the_documentation_write_what_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
):
    monkeypatch.chdir(tmp_path)
    tasks = ("dbpedia", "b", "c")
    four_schemes(tmp_path / "runs")
    write_run(tmp_path / "runs", "inc_lora")
    write_run(tmp_path / "runs", tasks=tasks, stream="99", scores=attention(tasks))
    *words, out = line.split()[1:]
    assert amlora(*words, out) == (0, f"{out}\n", "")
    assert Path(out).stat().st_size > 100


def test_every_figure_is_in_the_documentation():
    assert {line.split()[2] for line in documented()} == {each.value for each in Name}


def test_help_says_what_several_streams_become():
    _, out, _ = amlora("figure", "--help")
    assert "below one another in one file" in " ".join(out.split())
