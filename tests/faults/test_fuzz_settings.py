"""Settings and grid files changed in hundreds of ways: refused in one clear line, or read."""

import random

from grids import TWO_SEEDS, write_grid
from hostile import FINE, REFUSED, TOML, VALUES, broken, check, outcome, with_values
from small_run import small_settings, write_tasks

COUNT, FEW = 600, 30
NAMES = (
    *("name", "seed", "train.lr", "train.steps", "train.batch", "train.epochs", "model.name"),
    *("model.max_tokens", "model.precision", "method.name", "method.lora.rank", "stream.order"),
    *("stream.data_root", "stream.tasks[0].source", "stream.tasks[9].name", "method.lora.alpha"),
    *("stream.tasks[0].answers", "evaluate.max_new_tokens", "evaluate.general", "evaluate.scope"),
    *("a.b.c", "stream.tasks.\u00b2.name", "", ".", "train..lr", "x" * 300),
    *("stream.tasks[99999999999].name", "stream.tasks[\u0663].name", ".".join("a" * 5000)),
)


def override(chance: random.Random) -> str:
    """Return one --set."""
    value = chance.choice((chance.choice(TOML), str(chance.choice(VALUES))))
    return f"{chance.choice(NAMES)}={value}".replace("\0", "\\0")


def test_no_settings_end_in_a_traceback_or_hang(llama_folder, tmp_path, part):
    write_tasks(tmp_path / "data", rows=1)
    text = small_settings(tmp_path / "data", llama_folder)
    write_grid(tmp_path / "grid", llama_folder, TWO_SEEDS)
    file, grid = tmp_path / "changed.toml", tmp_path / "grid" / "changed.toml"
    ends: dict[str, str] = {}
    for number in range(COUNT if part == "all" else FEW):
        chance = random.Random(number)
        words: tuple[object, ...]
        kind = number % 4
        file.write_text(text)
        if kind == 0:
            file.write_text(with_values(text, chance))
            words = "run", file, "--dry-run"
        elif kind == 1:
            words = "run", file, "--dry-run", "--set", override(chance), "--set", override(chance)
        elif kind == 2:
            grid.write_text(with_values(TWO_SEEDS, chance))
            words = "grid", grid, "--list", "--runs", tmp_path / "runs"
        else:
            target = chance.choice((file, grid))
            target.write_bytes(broken((text if target is file else TWO_SEEDS).encode(), chance))
            words = ("run", file, "--dry-run") if target is file else ("grid", grid, "--list")
        ends[f"change {number}, {words}"] = outcome(*words)
    check(ends)
    assert {*ends.values()} == {FINE, REFUSED}
