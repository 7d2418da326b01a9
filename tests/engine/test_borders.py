"""The detector on planted clusters: delay, false alarms, returns, and that it looks at no more."""

import pytest
import torch
from torch import Tensor

from amlora.engine.borders import Detector, find_borders
from amlora.errors import InputError
from amlora.streams.settings import DetectionSettings

WIDTH = 40
USUAL = DetectionSettings()


def cluster(rows: int, place: float, *, seed: int, along: int = 0) -> Tensor:
    """Rows (rows, WIDTH) about a point on one of the axes, each number with its own deviation."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.zeros(WIDTH)
    middle[along] = place
    deviations = torch.linspace(0.5, 2.0, WIDTH)
    return middle + deviations * torch.randn(rows, WIDTH, generator=generator)


def test_each_planted_border_is_found_soon_and_nothing_else():
    rows = [cluster(150, 12.0 * k, seed=k) for k in range(5)]
    found = find_borders(torch.cat(rows), USUAL).starts
    delays = [at - 150 * (k + 1) for k, at in enumerate(found)]
    assert len(delays) == 4
    assert all(0 < delay <= USUAL.window for delay in delays)


@pytest.mark.parametrize("false_alarm", [0.1, 0.02])
def test_a_window_of_the_stages_own_rows_is_taken_for_new_as_often_as_stated(false_alarm):
    settings = DetectionSettings(window=12, least=16, false_alarm=false_alarm)
    trials, alarms = 1500, 0
    for seed in range(trials):
        detector = Detector(settings)
        *earlier, last = cluster(28, 3.0, seed=seed)
        assert not any(detector.read(row) for row in earlier)  # nothing is compared before
        alarms += detector.read(last)
    deviation = (trials * false_alarm * (1 - false_alarm)) ** 0.5
    assert abs(alarms - trials * false_alarm) < 4 * deviation


def test_the_number_of_dimensions_does_not_raise_false_alarms():
    """Without the split, a direction chosen from 40 numbers would be found in any rows."""
    found = find_borders(cluster(4000, 0.0, seed=0), DetectionSettings(false_alarm=1e-5)).starts
    assert found == []


def test_a_shift_of_a_deviation_in_every_number_is_found_though_each_row_looks_usual():
    before, after = cluster(300, 0.0, seed=0), cluster(300, 0.0, seed=1)
    after += torch.linspace(0.5, 2.0, WIDTH)
    (found,) = find_borders(torch.cat([before, after]), USUAL).starts
    assert 300 < found <= 300 + USUAL.window


def test_a_task_that_returns_opens_no_stage_and_the_next_new_one_does():
    places = [(0.0, 0), (15.0, 0), (0.0, 0), (15.0, 0), (15.0, 1)]
    rows = [cluster(120, place, seed=k, along=axis) for k, (place, axis) in enumerate(places)]
    found = find_borders(torch.cat(rows), USUAL).starts
    assert len(found) == 2
    assert 120 < found[0] <= 152 and 480 < found[1] <= 512


def test_rows_that_a_border_was_found_in_are_nobodys():
    rows = [cluster(120, 12.0 * k, seed=k) for k in range(3)]
    found = find_borders(torch.cat(rows), USUAL)
    first, second = found.starts
    late = [None] * USUAL.window
    own = [first - USUAL.window, second - first - USUAL.window, 360 - second]
    assert found.owners == [0] * own[0] + late + [1] * own[1] + late + [2] * own[2]
    assert own[0] <= 120 and first + own[1] <= 240  # no row of a later task is a stage's


def test_rows_of_a_task_that_returns_are_its_first_stages():
    rows = [cluster(120, place, seed=k) for k, place in enumerate([0.0, 15.0, 0.0])]
    found = find_borders(torch.cat(rows), USUAL)
    (start,) = found.starts
    assert set(found.owners[start:240]) <= {1, None} and found.owners[start:200].count(1) > 40
    assert found.owners.count(None) == 2 * USUAL.window
    assert found.owners[240:280].count(1) < 10 and found.owners[290:] == [0] * 70


def test_later_rows_change_no_border():
    rows = torch.cat([cluster(120, 12.0 * k, seed=k) for k in range(3)])
    whole = find_borders(rows, USUAL).starts
    assert len(whole) == 2
    for stop in (100, 200, whole[1], 320):
        assert find_borders(rows[:stop], USUAL).starts == [at for at in whole if at < stop]


def test_equal_rows_have_no_border_and_others_behind_them_do():
    same = torch.full((200, WIDTH), 0.1)
    assert find_borders(same, USUAL).starts == []
    assert len(find_borders(torch.cat([same, same + 0.3]), USUAL).starts) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": 7}, "window must be an even number, got 7."),
        ({"window": 4}, "window must be at least 6, got 4."),
        ({"least": 3}, "least must be at least 4, got 3."),
        ({"false_alarm": 0.2}, "false_alarm must be at least 1e-09 and at most 0.1, got 0.2."),
    ],
)
def test_wrong_settings_are_named(given, message):
    with pytest.raises(InputError) as refused:
        DetectionSettings(**given)
    assert str(refused.value) == message
