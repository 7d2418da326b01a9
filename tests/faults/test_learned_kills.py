"""Kill -9 at any moment of a command: answers are as before or as after, and the next one works."""

import random
import shutil
import time
from pathlib import Path

import pytest

from broken_disk import disk, spread, whole
from deeds import (
    DEEDS,
    Kill,
    Place,
    Reader,
    check_whole,
    killed,
    left_over,
    settle,
    weights,
)

MANY = {"learn": 80}
OTHERS = 24
"""Kills of each other command: 200 in all."""
FEW = 2
IN_A_ROW = 3
"""Kills of one `learn`, at most, before it may come to its end."""


def check_after(place: Place, reader: Reader, deed: str, folder: Path, done: Path) -> None:
    """After a kill: whole, and as before or after; after the next command, nothing stray."""
    old, new = reader.answers(place.pristine), reader.answers(done)
    check_whole(folder)
    now = reader.answers(folder)
    assert now in (old, new)
    if now == old:
        place.do(deed, folder)
    else:
        settle(folder)
    assert reader.answers(folder) == new
    check_whole(folder)
    assert left_over(folder, deed) == []
    if deed == "learn":
        assert weights(folder, "truth") == weights(done, "truth")


@pytest.mark.parametrize("deed", DEEDS)
def test_a_killed_command_is_done_or_not_and_the_next_one_works(
    place, reader, tmp_path, deed, part
):
    done = place.copy(tmp_path / "done", anew=True)
    with disk(whole) as counted:
        place.do(deed, done)
    chance, seconds = random.Random(deed), 0.0
    many = MANY.get(deed, OTHERS) if part == "all" else FEW
    inside = many // 2 if part == "all" else FEW
    kills = [Kill(operation=at) for at in spread(inside + 2, len(counted.done))[1:-1]]
    if part == "all":
        seconds = longest(place, deed, tmp_path / "timed")
    met = tries = 0
    while met < many:
        folder = place.copy(tmp_path / f"{tries}", anew=deed != "learn" or tries % 2 == 0)
        old = reader.answers(folder)
        # A `learn` that is killed several times goes on each time.
        for _ in range(1 + tries % IN_A_ROW if deed == "learn" else 1):
            kill = kills.pop() if kills else Kill(seconds=chance.uniform(0.0, seconds))
            hit = killed(place, deed, folder, kill)
            met += hit
            if not hit or reader.answers(folder) != old:
                break
        check_after(place, reader, deed, folder, done)
        shutil.rmtree(folder)
        tries += 1
        assert tries < 10 * many, f"{met} of {tries} kills met {deed} alive"
    print(f"{deed}: {met} kills; {len(counted.done)} operations, {seconds:.1f} s")


def longest(place: Place, deed: str, folder: Path) -> float:
    """Return how many seconds a command takes in a process of its own."""
    killed(place, deed, place.copy(folder, anew=True))  # the first one starts the server
    shutil.rmtree(folder)
    place.copy(folder, anew=True)
    begun = time.monotonic()
    assert not killed(place, deed, folder)
    return time.monotonic() - begun
