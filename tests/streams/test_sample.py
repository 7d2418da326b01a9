from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.errors import InputError
from amlora.streams.sample import draw, set_aside, take
from amlora.streams.task import Example, text_key

ROWS = st.lists(
    st.tuples(st.sampled_from(["one", "One!", "two", "three", "four"]), st.sampled_from("ab")),
    min_size=1,
    max_size=40,
).map(
    lambda pairs: [
        Example(text=f"{text} {i // 3}", label=label, row=f"train:{i}")
        for i, (text, label) in enumerate(pairs)
    ]
)
LIMIT = st.one_of(st.none(), st.integers(1, 30))


@settings(max_examples=40)
@given(ROWS, st.randoms(), st.integers(0, 5), LIMIT, LIMIT)
def test_a_draw_does_not_depend_on_the_order_of_the_rows(rows, random, seed, per_class, per_task):
    shuffled = list(rows)
    random.shuffle(shuffled)
    draws = [
        draw(some, seed=seed, task="t", per_class=per_class, per_task=per_task)
        for some in (rows, shuffled)
    ]
    assert draws[0] == draws[1]


@settings(max_examples=40)
@given(ROWS, LIMIT, LIMIT)
def test_a_draw_keeps_its_limits_and_takes_all_there_is_below_them(rows, per_class, per_task):
    drawn = draw(rows, seed=0, task="t", per_class=per_class, per_task=per_task)
    capped = sum(
        count if per_class is None else min(count, per_class)
        for count in Counter(row.label for row in rows).values()
    )
    assert len(drawn) == (capped if per_task is None else min(capped, per_task))
    assert set(drawn) <= set(rows)
    if per_class is not None:
        assert max(Counter(row.label for row in drawn).values()) <= per_class


@settings(max_examples=40)
@given(ROWS, st.integers(1, 10), st.integers(1, 10))
def test_a_smaller_draw_is_part_of_a_larger_one(rows, small, more):
    inner = draw(rows, seed=1, task="t", per_class=small)
    assert set(inner) <= set(draw(rows, seed=1, task="t", per_class=small + more))


def rows_of(count: int) -> list[Example]:
    return [Example(text=f"text {i}", label="ab"[i % 2], row=f"train:{i}") for i in range(count)]


def test_seed_and_task_name_change_the_draw():
    rows = rows_of(40)
    draws = [
        draw(rows, seed=seed, task=task, per_task=10)
        for seed, task in ((0, "t"), (1, "t"), (0, "u"))
    ]
    assert draws[0] != draws[1] and draws[0] != draws[2]


def test_a_free_text_task_counts_as_one_class():
    assert len(draw(rows_of(40), seed=0, task="t", by_label=False, per_class=7)) == 7


@settings(max_examples=40)
@given(ROWS, st.integers(0, 5), st.booleans())
def test_what_is_set_aside_shares_no_text_with_what_is_left(rows, seed, by_label):
    if len({text_key(row.text) for row in rows}) < 2:
        rows = rows_of(9)
    left, taken = set_aside(rows, 0.2, seed=seed, task="t", by_label=by_label, split="dev")
    assert sorted(left + taken, key=lambda row: row.row) == sorted(rows, key=lambda row: row.row)
    assert left and taken
    assert not {text_key(row.text) for row in left} & {text_key(row.text) for row in taken}


def test_each_class_gives_its_share():
    rows = rows_of(40) + [
        Example(text=f"rare {i}", label="c", row=f"train:{40 + i}") for i in range(3)
    ]
    _, taken = set_aside(rows, 0.2, seed=0, task="t", by_label=True, split="dev")
    assert Counter(row.label for row in taken) == {"a": 4, "b": 4, "c": 1}


def test_one_text_is_too_few_to_set_any_aside():
    with pytest.raises(InputError, match="t: 1 distinct train text is too few"):
        set_aside(rows_of(1) * 3, 0.1, seed=0, task="t", by_label=True, split="dev")


def distinct(sizes: dict[str, int]) -> list[Example]:
    """Return so many rows of each label."""
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return [Example(text=f"{i}", label=label, row=f"train:{i}") for i, label in enumerate(labels)]


def test_each_label_is_taken_in_proportion_and_the_count_is_exact():
    rows = distinct({"a": 60, "b": 30, "c": 7, "d": 1})
    left, taken = take(rows, 20, seed=0, task="t", by_label=True, split="test")
    assert len(taken) == 20 and len(left) == 78
    counts = Counter(row.label for row in taken)
    assert counts["d"] == 0
    for label, share in (("a", 60), ("b", 30), ("c", 7)):
        assert abs(counts[label] - 20 * share / 98) < 1
    assert sorted(left + taken, key=rows.index) == rows


@settings(max_examples=40)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5), st.booleans())
def test_what_is_taken_is_part_of_what_a_larger_count_takes(first, second, seed, by_label):
    rows = distinct({"a": 13, "b": 9, "c": 2})
    small, large = sorted((first, second))
    taken = [
        take(rows, count, seed=seed, task="t", by_label=by_label, split="test")[1]
        for count in (small, large)
    ]
    assert {row.row for row in taken[0]} <= {row.row for row in taken[1]}
    assert [len(rows) for rows in taken] == [min(small, 24), min(large, 24)]


def test_other_splits_seeds_and_tasks_take_other_rows():
    rows = distinct({"a": 100})
    given = {"seed": 0, "task": "t", "split": "test"}
    drawn = [
        {row.row for row in take(rows, 30, by_label=True, **{**given, **other})[1]}
        for other in ({}, {"seed": 1}, {"task": "u"}, {"split": "dev"})
    ]
    assert len({frozenset(each) for each in drawn}) == 4
