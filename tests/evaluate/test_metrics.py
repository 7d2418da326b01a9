"""Metrics on matrices worked by hand, and on the published matrices of O-LoRA's logs."""

import json
from pathlib import Path

import pytest

from amlora.errors import InputError
from amlora.evaluate import metrics
from amlora.evaluate.course import Course

# Three tasks; rows: before learning, after tasks 1, 2, 3.
HAND: list[list[float | None]] = [
    [0.10, 0.20, 0.30],
    [0.80, 0.30, 0.25],
    [0.85, 0.60, 0.40],
    [0.55, 0.50, 0.90],
]
JOINT: list[list[float | None]] = [[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]]
UNSEEN_NOT_MEASURED: list[list[float | None]] = [
    [None, None, None],
    [0.80, None, None],
    [0.85, 0.60, None],
    [0.55, 0.50, 0.90],
]


def test_average_is_the_mean_of_the_last_row() -> None:
    assert metrics.average(HAND) == pytest.approx(1.95 / 3)


def test_micro_average_weighs_the_last_row_by_test_rows() -> None:
    assert metrics.micro_average(HAND, [100, 200, 100]) == pytest.approx((55 + 100 + 90) / 400)


def test_micro_average_of_equal_sizes_is_the_average() -> None:
    assert metrics.micro_average(HAND, [7, 7, 7]) == pytest.approx(metrics.average(HAND))


def test_forgetting_is_the_fall_from_the_best_earlier_row() -> None:
    # Task 1: best of rows 1 and 2 is .85, not the .80 at learning; task 2: .60.
    assert metrics.forgetting(HAND) == pytest.approx(((0.85 - 0.55) + (0.60 - 0.50)) / 2)


def test_forgetting_counts_rows_before_the_task_was_learned_but_not_the_pretrained_model() -> None:
    R: list[list[float | None]] = [
        [0.0, 0.9, 0.0],
        [0.5, 0.7, 0.0],
        [0.5, 0.4, 0.0],
        [0.5, 0.4, 0.0],
    ]
    assert metrics.forgetting(R) == pytest.approx((0.0 + (0.7 - 0.4)) / 2)


def test_forgetting_is_negative_when_the_last_stage_improves_old_tasks() -> None:
    assert metrics.forgetting([[0.0, 0.0], [0.5, 0.0], [0.7, 0.9]]) == pytest.approx(-0.2)


def test_bwt_is_the_change_since_each_task_was_learned() -> None:
    assert metrics.backward_transfer(HAND) == pytest.approx(((0.55 - 0.80) + (0.50 - 0.60)) / 2)


def test_fwt_is_the_gain_over_the_pretrained_model_just_before_learning() -> None:
    assert metrics.forward_transfer(HAND) == pytest.approx(((0.30 - 0.20) + (0.40 - 0.30)) / 2)


def test_learning_accuracy_is_the_mean_of_the_diagonal() -> None:
    assert metrics.learning_accuracy(HAND) == pytest.approx((0.80 + 0.60 + 0.90) / 3)


def test_a_summary_has_the_metrics_of_a_record() -> None:
    assert metrics.summary(HAND, [10, 10, 10]) == pytest.approx(
        {
            "average": 0.65,
            "micro_average": 0.65,
            "forgetting": 0.2,
            "bwt": -0.175,
            "fwt": 0.1,
            "learning_accuracy": 2.3 / 3,
        }
    )


def test_joint_learning_has_averages_and_nothing_that_needs_an_order() -> None:
    found = metrics.summary(JOINT, [10, 10, 20])
    assert found["average"] == pytest.approx(0.8)
    assert found["micro_average"] == pytest.approx(0.825)
    assert [found[name] for name in ("forgetting", "bwt", "fwt", "learning_accuracy")] == [None] * 4


def test_only_fwt_is_lost_when_unseen_tasks_were_not_measured() -> None:
    found = metrics.summary(UNSEEN_NOT_MEASURED, [10, 10, 10])
    assert found.pop("fwt") is None
    assert found == pytest.approx(
        {key: value for key, value in metrics.summary(HAND, [10, 10, 10]).items() if key != "fwt"}
    )


def test_a_single_task_has_no_forgetting_and_no_transfer() -> None:
    assert metrics.summary([[0.2], [0.9]], [5]) == {
        "average": 0.9,
        "micro_average": pytest.approx(0.9),
        "forgetting": None,
        "bwt": None,
        "fwt": None,
        "learning_accuracy": 0.9,
    }


def test_a_hole_in_the_last_row_leaves_no_average() -> None:
    R: list[list[float | None]] = [[0.0, 0.0], [0.5, 0.0], [None, 0.9]]
    assert metrics.average(R) is None
    assert metrics.micro_average(R, [1, 1]) is None
    assert metrics.backward_transfer(R) is None
    assert metrics.forgetting(R) is None
    assert metrics.learning_accuracy(R) == pytest.approx(0.7)


@pytest.mark.parametrize("R", [[], [[]], [[0.1, 0.2], [0.3]]])
def test_an_empty_or_ragged_matrix_is_refused(R: list[list[float | None]]) -> None:
    with pytest.raises(InputError, match="accuracy matrix"):
        metrics.summary(R, [1, 1])


@pytest.mark.parametrize("sizes", [[1, 1], [1, 1, 0], [1, 1, 1, 1]])
def test_test_sizes_must_be_one_positive_number_per_task(sizes: list[int]) -> None:
    with pytest.raises(InputError, match="3 positive numbers"):
        metrics.micro_average(HAND, sizes)


PUBLISHED = json.loads((Path(__file__).parent / "data" / "published_matrices.json").read_text())


def published(name: str) -> tuple[list[list[float | None]], list[int]]:
    """A published lower triangle, in percent, with the unmeasured rest as None."""
    run = PUBLISHED["runs"][name]
    tasks = len(run["tasks"])
    rows = [[*row, *[None] * (tasks - len(row))] for row in run["R"]]
    return [[None] * tasks, *rows], run["rows"]


@pytest.mark.parametrize(
    ("name", "average", "bwt", "learning_accuracy"),
    [
        ("order1_olora", 78.37, -1.18, 79.25),
        ("order1_icrlora", 68.62, -14.55, 79.53),
        ("order1_seqft", 67.77, -14.50, 78.64),
        ("long_olora", 72.17, -0.73, 72.86),
        ("long_icrlora", 58.44, -19.44, 76.58),
        ("long_seqlora", 32.04, -47.96, 76.81),
    ],
)
def test_published_matrices_give_their_known_results(
    name: str, average: float, bwt: float, learning_accuracy: float
) -> None:
    R, sizes = published(name)
    found = metrics.summary(R, sizes)
    assert found["average"] == pytest.approx(average, abs=0.005)
    assert found["bwt"] == pytest.approx(bwt, abs=0.005)
    assert found["learning_accuracy"] == pytest.approx(learning_accuracy, abs=0.005)


@pytest.mark.parametrize("name", list(PUBLISHED["runs"]))
def test_published_micro_averages_come_back_from_the_last_row(name: str) -> None:
    R, sizes = published(name)
    logged = PUBLISHED["runs"][name]["micro"]
    assert metrics.micro_average(R, sizes) == pytest.approx(logged, abs=1e-3)


# Stages that were found: the second stage learned tasks 2 and 3, the third nothing of its own.
MISSED = Course(stages=3, first=[1, 1, 2], learned=[1, 2, 2])


def test_with_found_stages_the_diagonal_is_where_most_of_a_task_was_learned() -> None:
    assert metrics.learning_accuracy(HAND, MISSED) == pytest.approx((0.80 + 0.60 + 0.40) / 3)
    assert metrics.backward_transfer(HAND, MISSED) == pytest.approx(
        ((0.55 - 0.80) + (0.50 - 0.60) + (0.90 - 0.40)) / 3
    )
    assert metrics.forgetting(HAND, MISSED) == pytest.approx(
        ((0.85 - 0.55) + (0.60 - 0.50) + (0.40 - 0.90)) / 3
    )


def test_fwt_is_undefined_where_a_stage_before_a_tasks_own_learned_some_of_its_rows() -> None:
    assert metrics.forward_transfer(HAND, MISSED) is None
    sharp = Course(stages=3, first=[1, 2, 2], learned=[1, 2, 2])
    assert metrics.forward_transfer(HAND, sharp) == pytest.approx(
        ((0.30 - 0.20) + (0.25 - 0.30)) / 2
    )


def test_found_stages_that_are_the_tasks_change_no_metric() -> None:
    exact = Course(stages=3, first=[1, 2, 3], learned=[1, 2, 3])
    assert metrics.summary(HAND, [10, 20, 30], exact) == metrics.summary(HAND, [10, 20, 30])


def test_one_found_stage_forgets_nothing_and_has_no_transfer() -> None:
    one = Course(stages=1, first=[1, 1, 1], learned=[1, 1, 1])
    found = metrics.summary(JOINT, [1, 1, 1], one)
    assert (found["forgetting"], found["bwt"], found["fwt"]) == (None, None, None)
    assert found["learning_accuracy"] == pytest.approx(found["average"])


def test_metrics_of_found_stages_wait_for_the_last_and_want_the_same_tasks() -> None:
    assert metrics.backward_transfer(HAND[:3], MISSED) is None
    with pytest.raises(InputError, match="stages of 2 tasks; the accuracy matrix has 3"):
        metrics.backward_transfer(HAND, Course(stages=3, first=[1, 2], learned=[1, 2]))


def test_forgetting_needs_every_score_since_a_task_was_learned():
    full = [[None] * 3, [0.5, None, None], [0.9, 0.6, None], [0.4, 0.6, 0.7]]
    ends = [[None] * 3, [0.5, None, None], [None, 0.6, None], [0.4, 0.6, 0.7]]
    assert metrics.summary(full, [1] * 3)["forgetting"] == pytest.approx((0.5 + 0.0) / 2)
    assert metrics.summary(ends, [1] * 3)["forgetting"] is None
    assert metrics.summary(ends, [1] * 3)["bwt"] == metrics.summary(full, [1] * 3)["bwt"]
