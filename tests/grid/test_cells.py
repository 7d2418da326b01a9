"""Grid files: what they resolve to, their shares, and what is wrong with them."""

import re
import textwrap
from pathlib import Path

import pytest

from amlora.cli.config import find, purpose, shipped
from amlora.errors import InputError
from amlora.experiment.settings import load_settings, settings_from, to_toml
from amlora.grid.cells import Cell, Grid, load_grid
from amlora.methods import METHODS

BASE = """
seed = 7
[method]
name = "am_lora"
[stream]
data_root = "data"
[[stream.tasks]]
name = "a"
source = "a"
[[stream.tasks]]
name = "b"
source = "b"
[train]
batch = 4
"""
GRID = """
base = "base.toml"
seeds = [0, 1, 2]
[train]
epochs = 2
[[methods]]
name = "sin_lora"
train.lr = 2e-4
[[methods]]
name = "seq_ft"
train.batch = 16
[[methods]]
name = "seq_ft"
label = "seq_ft-lora"
method.trainable = "lora"
method.lora.rank = 2
[[methods]]
name = "am_lora"
method.sparsity = [1e-5, 1e-4]
[select.rates]
seq_ft = [1e-5, 5e-5]
seq_ft-lora = [1e-3]
am_lora = [3e-4, 1e-3, 3e-3]
"""


@pytest.fixture
def grid_of(tmp_path):
    """Return a function that loads a grid file's text over the base above."""
    (tmp_path / "base.toml").write_text(BASE)

    def make(text: str) -> Grid:
        path = tmp_path / "some.toml"
        path.write_text(text)
        return load_grid(path)

    return make


def cell(grid: Grid, label: str, seed: int = 0, order: str = "") -> Cell:
    (line,) = [line for line in grid.lines if line.key == (label, order)]
    return Cell(line=line, seed=seed, rate=line.rates[0])


def test_cells_are_lines_times_seeds_the_first_seed_first(grid_of):
    grid = grid_of(GRID)
    assert grid.name == "some"
    labels = ["sin_lora", "seq_ft", "seq_ft-lora", "am_lora"]
    assert [each.title for each in grid.cells] == [
        f"{label}, seed {seed}" for seed in (0, 1, 2) for label in labels
    ]


def test_a_cell_is_the_base_with_the_grids_and_the_lines_settings_over_it(grid_of, tmp_path):
    settings = cell(grid_of(GRID), "seq_ft", seed=2).settings
    assert settings == settings_from(
        {
            "name": "seq_ft",
            "seed": 2,
            "method": {"name": "seq_ft"},
            "stream": {
                "data_root": str(tmp_path / "data"),
                "tasks": [{"name": "a", "source": "a"}, {"name": "b", "source": "b"}],
            },
            "train": {"batch": 16, "epochs": 2.0, "lr": 1e-5},
        }
    )


def test_a_line_has_its_own_rate_one_to_choose_or_the_default(grid_of):
    grid = grid_of(GRID.replace("train.lr = 2e-4", ""))
    rates = {line.label: line.rates for line in grid.lines}
    assert rates == {
        "sin_lora": (1e-3,),
        "seq_ft": (1e-5, 5e-5),
        "seq_ft-lora": (1e-3,),
        "am_lora": (3e-4, 1e-3, 3e-3),
    }
    assert grid_of(GRID).lines[0].rates == (2e-4,)


def test_candidates_learn_the_first_task_alone_and_are_scored_on_dev_rows(grid_of):
    grid = grid_of(GRID)
    candidates = grid.lines[3].candidates
    assert [each.settings.train.lr for each in candidates] == [3e-4, 1e-3, 3e-3]
    for each in candidates:
        settings = each.settings
        assert dict(settings.method.settings)["sparsity"] == (1e-5,)
        assert (settings.stream.first_tasks, settings.evaluate.split) == (1, "dev")
        assert (settings.seed, settings.name) == (0, "select-am_lora")
    assert grid.lines[0].candidates == grid.lines[2].candidates == ()  # one rate, or none
    settings = cell(grid, "am_lora").settings
    assert (settings.stream.first_tasks, settings.evaluate.split) == (None, "test")


def test_runs_of_cells_differ_in_name_and_do_not_depend_on_the_grid(grid_of):
    grid = grid_of(GRID)
    cells = [each.at(rate) for each in grid.cells for rate in each.line.rates]
    cells += [each for line in grid.lines for each in line.candidates]
    assert len({each.name for each in cells}) == len(cells)
    other = grid_of('name = "other"\n' + GRID.replace("seeds = [0, 1, 2]", "seeds = [1]"))
    assert cell(other, "seq_ft", seed=1).name == cell(grid, "seq_ft", seed=1).name


def test_seeds_are_the_bases_where_the_grid_names_none_and_there_need_be_no_base(grid_of):
    grid = grid_of(GRID.replace("seeds = [0, 1, 2]", ""))
    assert {each.seed for each in grid.cells} == {7}
    assert grid.lines[1].candidates[0].settings.seed == 7
    grid = grid_of('[stream]\nname = "quickstart"\n[[methods]]\nname = "seq_ft"\n')
    assert cell(grid, "seq_ft").settings.stream.name == "quickstart"


def test_own_tasks_in_several_orders(grid_of):
    orders = 'orders = [["a", "b"], ["b", "a"]]\n'
    grid = grid_of(orders + GRID)
    settings = cell(grid, "sin_lora", order="b-a").settings
    assert [task.name for task in settings.stream.tasks] == ["b", "a"]
    assert len(grid.cells) == 2 * 4 * 3
    assert grid.lines[4].title == "sin_lora, order b-a"


def test_the_papers_orders_replace_the_bases(grid_of, tmp_path):
    base = '[stream]\nname = "mine"\norder = "1"\ndata_root = "data"\n'
    (tmp_path / "papers.toml").write_text(base)
    text = 'orders = ["2", "4"]\n' + GRID.replace("base.toml", "papers.toml")
    stream = cell(grid_of(text), "sin_lora", order="4").settings.stream
    assert (stream.order, stream.name) == ("4", "")
    assert stream.data_root == str(tmp_path / "data")


def test_paths_of_a_base_start_from_the_base_and_those_of_a_grid_from_the_grid(tmp_path):
    (tmp_path / "grids").mkdir()
    path = tmp_path / "grids" / "some.toml"
    (tmp_path / "base.toml").write_text(BASE)
    path.write_text(GRID.replace("base.toml", "../base.toml"))
    stream = load_grid(path).cells[0].settings.stream
    assert stream.data_root == str(tmp_path / "grids" / ".." / "data")
    (tmp_path / "base.toml").write_text(BASE.replace('data_root = "data"', ""))
    path.write_text(GRID.replace("base.toml", "../base.toml") + '[stream]\ndata_root = "more"\n')
    stream = load_grid(path).cells[0].settings.stream
    assert stream.data_root == str(tmp_path / "grids" / "more")
    assert [task.source for task in stream.tasks] == ["a", "b"]


def test_a_written_base_keeps_its_paths_and_no_name_depends_on_where_a_grid_is_started(
    tmp_path, monkeypatch
):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "plain.toml").write_text(BASE)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("own/plain.toml"), method="mtl")
    written = re.sub(r"(?s)\[method\].*?(?=\[stream\])", "", to_toml(settings))
    (tmp_path / "own" / "base.toml").write_text(written)
    names = set()
    for base in ("plain.toml", "base.toml"):
        (tmp_path / "own" / "grid.toml").write_text(GRID.replace("base.toml", base))
        found = load_grid(Path("own/grid.toml")).cells
        assert {each.settings.stream.data_root for each in found if each.rate} == {"own/data"}
        names.add(tuple(each.name for each in found if each.rate))
        names.add(tuple(e.name for e in load_grid(tmp_path / "own" / "grid.toml").cells if e.rate))
    assert len(names) == 1


def test_one_order_may_choose_for_all_and_need_not_be_one_of_the_comparison(grid_of):
    orders = 'orders = [["a", "b"], ["b", "a"]]\n'
    assert all(line.choosing is line for line in grid_of(orders + GRID).lines)
    chooser = '[select]\norder = ["b", "a"]\n'
    grid = grid_of(orders + GRID.replace("[select.rates]", f"{chooser}[select.rates]"))
    choosing = [line.choosing for line in grid.lines]
    assert {line.key for line in choosing} == {(line.label, "b-a") for line in grid.lines}
    names = [[each.name for each in line.candidates] for line in choosing]
    assert names[:4] == names[4:]
    text = GRID.replace("[select.rates]", '[select]\norder = ["b"]\n[select.rates]')
    grid = grid_of(f'orders = [["a", "b"]]\n{text}')
    (candidate, *_) = grid.lines[3].choosing.candidates
    assert [task.name for task in candidate.settings.stream.tasks] == ["b"]
    assert {line.order for line in grid.lines} == {"a-b"}


def test_shares_cover_every_cell_once(grid_of):
    grid = grid_of(GRID)
    for of in (1, 2, 3, 5, 12, 20):
        shares = [grid.share(number, of) for number in range(1, of + 1)]
        titles = sorted(each.title for share in shares for each in share)
        assert titles == sorted(each.title for each in grid.cells)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


WRONG = [
    ("seeds = [0, 1, 2]", "sedes = [0]", "unknown setting 'grid.sedes'; did you mean 'seeds'?"),
    ("seeds = [0, 1, 2]", "seeds = [0, 0]", "grid: seed 0 is there twice"),
    ("seeds = [0, 1, 2]", "seeds = [-1]", "sin_lora: seed must be at least 0 and below"),
    ("seeds = [0, 1, 2]", 'name = "a/b"', "grid.name 'a/b' cannot name a folder."),
    (
        'base = "base.toml"',
        'base = "no.toml"',
        "some.toml: base: no.toml: no such file or directory.",
    ),
    ('label = "seq_ft-lora"', "", "grid: label 'seq_ft' is there twice"),
    ('label = "seq_ft-lora"', 'label = "a b"', "grid: label 'a b' cannot name a folder;"),
    ("am_lora = [3e-4", "amlora = [3e-4", "grid.select.rates has 'amlora', which is no label; did"),
    ("[3e-4, 1e-3, 3e-3]", "[]", "grid.select.rates.am_lora must be different numbers above 0."),
    ("[3e-4, 1e-3, 3e-3]", "[1, 1]", "grid.select.rates.am_lora must be different numbers"),
    ("[3e-4, 1e-3, 3e-3]", "[0]", "grid.select.rates.am_lora must be different numbers"),
    ("[3e-4, 1e-3, 3e-3]", '"x"', "grid.select.rates.am_lora: expected a list"),
    ("am_lora = [3e-4", 'order = ["a", "c"]\nam_lora = [3e-4', "grid.select.rates.order[0]: ex"),
    ("[select.rates]", '[select]\norder = ["a", "c"]\n[select.rates]', "grid.orders: no task 'c'"),
    ("train.batch = 16", "train.lr = 1e-3", "grid.methods: seq_ft has train.lr and select.rates;"),
    ("train.batch = 16", "train.bach = 1", "seq_ft: unknown setting 'train.bach'; did you mean"),
    ("train.batch = 16", 'train.lr = "x"', "grid.methods: seq_ft has train.lr and select.rates;"),
    ("train.lr = 2e-4", 'train.lr = "x"', "sin_lora: train.lr: expected a number, got 'x'."),
    ("train.lr = 2e-4", 'method.name = "x"', "grid.methods[0]"),
    (
        "method.lora.rank = 2",
        "method.lora.rnk = 2",
        "seq_ft-lora: unknown setting 'method.lora.rnk'",
    ),
    ('"sin_lora"', '"sin_lore"', "sin_lore: method.name: unknown method 'sin_lore'; did you mean"),
    ("[train]\nepochs", "[method]\nepochs", "grid.method: a grid has one [[methods]] entry for"),
    ("seeds = [0, 1, 2]", 'orders = [["a", "c"]]', "grid.orders: no task 'c' in stream.tasks"),
    (
        "seeds = [0, 1, 2]",
        'orders = [["a", "a"]]',
        "sin_lora, order a-a: stream.tasks: 2 tasks are n",
    ),
    ("seeds = [0, 1, 2]", 'orders = ["9"]', "sin_lora, order 9: stream.order: '9' is not one of"),
]


@pytest.mark.parametrize(("old", "new", "line"), WRONG, ids=[new or "none" for _, new, _ in WRONG])
def test_a_mistake_is_one_line_that_says_where(grid_of, tmp_path, old, new, line):
    assert old in GRID
    with pytest.raises(InputError) as caught:
        grid_of(GRID.replace(old, new, 1))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "line"),
    [
        ("train = 5\n", "base.toml: train: expected a table."),
        ('[stream]\ntasks = ["a"]\n', "stream.tasks[0]: expected a table, got 'a'."),
        ("[stream]\ntasks = 5\n", "stream.tasks: expected a list (each a table), got 5."),
        (
            '[stream]\nname = "quickstart"\n',
            "grid.orders: the quickstart stream has one order, its own.",
        ),
        ('[method]\ngain = "one"\n', "base.toml: method.gain: a grid's base holds no settings"),
    ],
)
def test_a_base_that_cannot_be_one_is_refused(grid_of, tmp_path, base, line):
    (tmp_path / "base.toml").write_text(base)
    with pytest.raises(InputError) as refused:
        grid_of('orders = [["a"]]\n' + GRID)
    assert str(refused.value).replace(f"{tmp_path}/", "").startswith(line)


def test_a_grid_without_methods_is_refused(grid_of):
    with pytest.raises(InputError, match=r"grid.methods must not be empty"):
        grid_of("methods = []\n")
    with pytest.raises(InputError, match=r"grid.methods is missing"):
        grid_of("seeds = [1]\n")
    with pytest.raises(InputError, match="no such file"):
        load_grid(Path("absent.toml"))


SHIPPED = shipped("grid").values()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_grid_loads_is_named_after_its_file_and_says_what_it_is_for(path):
    assert load_grid(path).name == path.stem
    assert find(path.stem, "grid") == path
    assert 0 < len(purpose(path)) < 100


def test_all_methods_are_compared_each_with_rates_to_choose_from():
    grid = load_grid(find("methods-quickstart", "grid"))
    assert {line.plain["method"]["name"] for line in grid.lines} == set(METHODS)
    assert all(len(line.rates) > 1 for line in grid.lines)


def test_the_example_of_the_documentation_loads(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "howto" / "grid.md").read_text(encoding="utf-8")
    block = page.partition("## The grid file\n\n")[2].partition("\n\n| key |")[0]
    (tmp_path / "example.toml").write_text(textwrap.dedent(block))
    (tmp_path / "quickstart.toml").write_text(find("quickstart").read_text())
    grid = load_grid(tmp_path / "example.toml")
    assert [line.title for line in grid.lines] == ["am_lora", "replay-lora"]
    assert grid.lines[0].rates == (3e-4, 1e-3)
