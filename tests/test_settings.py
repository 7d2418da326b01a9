"""Settings: checked where they are made, refused in one line that names the dotted path."""

import pickle
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from amlora.errors import InputError
from amlora.settings import Many, Pair, Settings, is_text
from refused import refusal

Share = Annotated[float, Field(gt=0, le=1)]


class Inner(Settings):
    """A table within a table."""

    rank: PositiveInt = 8
    alpha: float = 32.0
    kind: Literal["plain", "fancy"] = "plain"

    @model_validator(mode="after")
    def check(self) -> "Inner":
        if self.kind == "fancy" and self.rank == 1:
            raise ValueError('rank must be above 1 while kind is "fancy", got 1.')
        return self


class Task(Settings):
    """One of several."""

    name: str
    options: Many[str] = ()


class Outer(Settings):
    """All that settings are made of."""

    inner: Inner = Inner()
    maybe: Inner | None = None
    tasks: Many[Task] = ()
    shares: Share | Many[Share] = 0.5
    betas: Pair[float] = (0.9, 0.99)
    answers: dict[str, str] = {}  # noqa: RUF012
    rate: PositiveFloat | None = 1.0
    flag: bool = False


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"flg": 1}, "unknown setting 'flg'; did you mean 'flag'?"),
        ({"inner": {"rnk": 4}}, "unknown setting 'inner.rnk'; did you mean 'rank'?"),
        ({"inner": {"x": 4}}, "unknown setting 'inner.x'; allowed: alpha, kind, rank."),
        (
            {"tasks": [{"name": "a"}, {"optons": ["x"]}]},
            "unknown setting 'tasks[1].optons'; did you mean 'options'?",
        ),
        ({"tasks": [{}]}, "tasks[0].name is missing; give a string."),
        ({"tasks": "a"}, "tasks: expected a list (each a table), got 'a'."),
        ({"inner": 3}, "inner: expected a table, got 3."),
        ({"maybe": 3}, 'maybe: expected a table or "none", got 3.'),
        ({"inner": {"rank": "1"}}, "inner.rank: expected an integer, got '1'."),
        ({"inner": {"rank": 1.0}}, "inner.rank: expected an integer, got 1.0."),
        ({"inner": {"rank": True}}, "inner.rank: expected an integer, got true."),
        ({"inner": {"rank": 0}}, "inner.rank must be at least 1, got 0."),
        ({"inner": {"alpha": True}}, "inner.alpha: expected a number, got true."),
        ({"inner": {"alpha": float("inf")}}, "inner.alpha: expected a number, got inf."),
        (
            {"inner": {"kind": "fansy"}},
            "inner.kind: 'fansy' is not one of 'fancy', 'plain'; did you mean 'fancy'?",
        ),
        (
            {"inner": {"kind": "fancy", "rank": 1}},
            'inner.rank must be above 1 while kind is "fancy", got 1.',
        ),
        ({"flag": 1}, "flag: expected true or false, got 1."),
        ({"flag": "x" * 99}, f"flag: expected true or false, got '{'x' * 59}...."),
        ({"rate": "all"}, "rate: expected a number or \"none\", got 'all'."),
        ({"rate": 0}, "rate must be above 0, got 0."),
        ({"shares": "x"}, "shares: expected a number or a list (each a number), got 'x'."),
        ({"shares": [0.5, "x"]}, "shares[1]: expected a number, got 'x'."),
        ({"shares": 2.0}, "shares must be above 0 and at most 1, got 2.0."),
        ({"shares": [2.0]}, "shares[0] must be above 0 and at most 1, got 2.0."),
        ({"betas": [0.9]}, "betas: expected a list of 2, got 1 elements."),
        ({"betas": [0.9, 0.9, 0.9]}, "betas: expected a list of 2, got 3 elements."),
        ({"answers": {"a\nb": 1}}, r"answers.'a\nb': expected a string, got 1."),
    ],
)
def test_a_wrong_value_is_one_line_with_its_dotted_path(values: dict[str, Any], line: str):
    assert refusal(Outer, **values) == line


def test_lists_serve_as_tuples_whole_numbers_as_numbers_and_none_is_a_word():
    made = Outer(tasks=[{"name": "a", "options": ["x"]}], rate="none", shares=[1])  # pyright: ignore
    assert (made.tasks[0].options, made.rate, made.shares) == (("x",), None, (1.0,))
    assert type(made.shares[0]) is float  # pyright: ignore[reportIndexIssue]


def test_a_table_says_where_it_stands():
    said = refusal(Inner.of, {"rnk": 4}, "method", "lora")
    assert said == "unknown setting 'method.lora.rnk'; did you mean 'rank'?"
    assert refusal(Inner.of, [1], "train") == "train: expected a table, got a list."


def test_a_complaint_crosses_from_one_process_to_another():
    with pytest.raises(InputError) as caught:
        Outer(flg=1)  # pyright: ignore[reportCallIssue]
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is InputError and str(again) == str(caught.value)


def test_what_is_replaced_is_checked_as_well():
    assert Outer().replace(flag=True).flag
    assert refusal(Outer().replace, rate=-1.0) == "rate must be above 0, got -1.0."


@pytest.mark.parametrize(
    ("kind", "text"),
    [(str, True), (Literal["a"] | None, True), (int | None, False), (Literal["a", 1], False)],
)
def test_it_is_known_where_only_text_fits(kind: Any, text: bool):
    assert is_text(kind) is text
