"""Many processes on one folder of skills: writers exclude each other, readers are not disturbed."""

from collections import Counter

from amlora.mixture.version import in_use
from amlora.skills.hold import WORK
from amlora.skills.skills import Skills
from crowd import Event, asked, crowd, was_in_use
from deeds import check_whole, left_over

REFUSED = ("was made from no other", ": no version '", ": no skill '")
"""What a writer may be told that came after another."""


def test_readers_see_whole_versions_in_use_while_many_write(place, tmp_path, part):
    folder = place.copy(tmp_path / "skills", anew=True)
    writers, readers, rounds = (16, 8, 5) if part == "all" else (4, 2, 2)
    wrote, seen = crowd(place, folder, writers=writers, readers=readers, rounds=rounds)
    assert [line for each in seen for line in each.failed] == []
    locked = [line for each in wrote for line in each.locked]
    free = f"{folder}: another process is writing here; wait for it to end."
    assert set(locked) <= {free}
    refused = [line for each in wrote for line in each.refused]
    assert [line for line in refused if not any(why in line for why in REFUSED)] == []
    check_whole(folder)
    assert left_over(folder, "prune") == [] and not (folder / WORK).exists()
    # What was read is what such a version says, and it was in use then.
    writes = [Event(0.0, 0.0, "0002"), *(event for each in wrote for event in each.events)]
    reads = [event for each in seen for event in each.events]
    assert [event for event in reads if not was_in_use(event, writes)] == []
    assert len({(event.version, event.said) for event in reads}) == len({e.version for e in reads})
    last = {event.said for event in reads if event.version == in_use(folder)}
    skills = Skills(folder, device="cpu", precision="float32")
    assert last <= {asked(skills)}
    done = dict(Counter(deed for each in wrote for deed in each.done))
    print(f"{done}, {len(locked)} times locked, {len(refused)} refused;")
    print(f"{len(reads)} reads of {len({event.version for event in reads})} versions")
