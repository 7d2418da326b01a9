"""Every command on a disk that fails at each operation: answers as before or after, never else."""

import errno
import itertools
import shutil
from pathlib import Path

import pytest

from amlora.errors import InputError
from broken_disk import Fails, disk, spread, whole
from deeds import DEEDS, Place, check_whole, left_over, settle, weights

KINDS = [(errno.ENOSPC, False), (errno.EIO, True), (errno.EIO, False), (errno.ENOSPC, True)]
"""With the code of the error: whether the disk fails once or for ever."""
FEW = 6


@pytest.mark.parametrize("deed", DEEDS)
def test_a_command_on_a_failing_disk_is_done_or_not_and_can_be_done_again(
    place, reader, tmp_path, deed, part
):
    done = place.copy(tmp_path / "done")
    with disk(whole) as counted:
        place.do(deed, done)
    old, new = reader.answers(place.pristine), reader.answers(done)
    assert (old == new) == (deed == "prune")
    kept = weights(done, "truth") if deed == "learn" else b""
    total = len(counted.done)
    numbers = range(1, total + 1) if part == "all" else spread(FEW, total)
    each = 1 if part == "sample" or deed == "learn" else 2
    kinds = itertools.cycle(KINDS)
    faults = [Fails(at, *kind) for at in numbers for kind in itertools.islice(kinds, each)]
    for fault in faults:
        folder = place.copy(tmp_path / "skills")
        said = ended(place, deed, folder, fault)
        assert "\n" not in said, fault
        check_whole(folder)
        now = reader.answers(folder)
        assert now in (old, new), fault
        with disk(whole):
            if now == old:
                place.do(deed, folder)
            else:
                settle(folder)
        assert reader.answers(folder) == new, fault
        if deed == "learn":
            assert weights(folder, "truth") == kept
        check_whole(folder)
        assert left_over(folder, deed) == [], fault
        shutil.rmtree(folder)
    print(f"{deed}: {len(faults)} faults at {total} operations")


def ended(place: Place, deed: str, folder: Path, fault: Fails) -> str:
    """Do something on such a disk; return the line that it ends with."""
    with disk(fault), pytest.raises((OSError, InputError)) as caught:
        place.do(deed, folder)
    error = caught.value
    assert isinstance(error, InputError) or error.filename, repr(error)
    return str(error)
