"""A cell's process that ends badly, as the sweep that started it sees it."""

import time

import pytest

from amlora.experiment import grid_process
from amlora.experiment import grid_store as cells
from amlora.experiment.grid_file import load_grid
from amlora.experiment.grid_item import Bench, Item
from grids import write_grid

GRID = """
base = "base.toml"
[[methods]]
name = "sin_lora"
"""


@pytest.mark.parametrize("earlier", [True, False])
def test_a_process_that_dies_young_is_told_by_its_last_words_and_not_by_an_older_failure(
    llama_folder, tmp_path, monkeypatch, earlier
):
    monkeypatch.setattr(grid_process, "CODE", "import sys; sys.exit('nothing works')")
    grid, runs = load_grid(write_grid(tmp_path, llama_folder, GRID)), tmp_path / "runs"
    [slot] = grid.slots
    cell = slot.group.cell(slot.seed, slot.group.rates[0])
    cells.keep_settings(runs, cell)
    if earlier:
        cells.keep_failure(runs, cell.id, "input", "an older reason")
    bench = Bench(store=runs, threads=1)
    bench.remember(cell)
    item = Item(title="one", group=slot.group, seed=slot.seed, weight=1, cell=cell)
    assert bench.begin(item)
    while item.worker is not None:
        bench.look_after(item, stopping=False)
        time.sleep(0.01)
    assert (item.state, item.reason) == ("failed", "nothing works")
    failure = cells.failure_of(runs, cell.id)
    assert failure is not None and (failure.kind, failure.reason) == ("error", "nothing works")
