"""A memory gives back what was put in, in an order that its key decides."""

import json
from collections import Counter

from amlora.engine.encode import Row
from amlora.methods.parts.memory import Memory, draw, some_rows
from amlora.methods.state import State
from trained import load_base

ROWS = [Row("Größe", str(i), (1, 40 + i), (90, 2), "x", shared=i) for i in range(5)]


def test_a_draw_is_without_replacement_until_all_rows_came():
    for key in range(20):
        drawn = draw(ROWS, 12, key)
        assert sorted(row.row for row in drawn[:5]) == sorted(row.row for row in drawn[5:10])
        assert set(Counter(drawn).values()) == {2, 3}
        assert sorted(row.row for row in some_rows(ROWS, 12, key)) == [str(i) for i in range(5)]


def test_a_draw_is_decided_by_its_key_alone():
    assert draw(ROWS, 4, 0, 1, "replay") == draw([*ROWS[:2], *ROWS[2:]], 4, 0, 1, "replay")
    assert len({tuple(draw(ROWS, 4, 0, step, "replay")) for step in range(20)}) > 10


def test_every_row_is_drawn_equally_often():
    counts = Counter(row for key in range(1000) for row in draw(ROWS, 2, key))
    assert all(abs(count - 400) < 60 for count in counts.values())  # four standard deviations


def test_rows_survive_json_and_come_behind_new_ones(llama_folder):
    memory = Memory(load_base(llama_folder))
    assert memory.mixed_in(ROWS[:4], 0.5, "key") == ROWS[:4]  # none is kept yet
    for rows in (ROWS, []):
        memory.rows = rows
        plain = json.loads(json.dumps(memory.state().values))
        memory.restore(State({}, plain))
        assert memory.rows == rows
    memory.rows = ROWS[4:]
    assert memory.mixed_in(ROWS[:4], 0.5, "key") == [*ROWS[:4], ROWS[4], ROWS[4]]
