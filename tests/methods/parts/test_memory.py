"""A memory gives back what was put in, in an order that its key decides."""

import json
from collections import Counter

import pytest

from amlora.engine.encode import Row
from amlora.methods.base import State
from amlora.methods.parts.memory import Memory

ROWS = [Row("Größe", str(i), (1, 40 + i), (90, 2), "x", shared=i) for i in range(5)]


def test_a_draw_is_without_replacement_until_all_rows_came():
    memory = Memory(ROWS)
    for key in range(20):
        drawn = memory.draw(12, key)
        assert sorted(row.row for row in drawn[:5]) == sorted(row.row for row in drawn[5:10])
        assert set(Counter(drawn).values()) == {2, 3}


def test_a_draw_is_decided_by_its_key_alone():
    one, other = Memory(ROWS), Memory()
    other.add(ROWS[:2])
    other.add(ROWS[2:])
    other.draw(3, "anything")
    assert one.draw(4, 0, 1, "replay") == other.draw(4, 0, 1, "replay")
    assert len({tuple(one.draw(4, 0, step, "replay")) for step in range(20)}) > 10


def test_every_row_is_drawn_equally_often():
    memory = Memory(ROWS)
    counts = Counter(row for key in range(1000) for row in memory.draw(2, key))
    assert all(abs(count - 400) < 60 for count in counts.values())  # four standard deviations


def test_rows_survive_json():
    plain = json.loads(json.dumps(Memory(ROWS).plain()))
    assert Memory.of_state(State({}, {"memory": plain}), 100).rows == ROWS
    assert Memory.of_state(State({}, {"memory": []}), 100).rows == []


def test_an_empty_memory_gives_nothing_and_refuses_to_give_something():
    assert Memory().draw(0, "key") == []
    with pytest.raises(ValueError, match="no rows to draw from"):
        Memory().draw(1, "key")
