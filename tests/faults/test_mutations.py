"""Skills and checkpoints that somebody changed, hashes included: used, or refused in one line."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from accelerate import Accelerator

from amlora import files
from amlora.engine import checkpoint
from amlora.engine.train import NonFiniteLoss, train_stage
from amlora.errors import InputError
from amlora.experiment.prepare import Prepared, prepare
from amlora.experiment.run import run
from amlora.skills.load import open_skills
from faults.mutations import changed_file
from hostile import FINE, check, ending, replaced
from signed import vouch
from trained import logits
from written import KINDS, saved

SAMPLE, EVERYTHING = 30, 1000


def regular(folder: Path) -> list[Path]:
    """Return the files of a folder that something is read from."""
    names = {".lock", "README.md"}
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in names)


def mutated(
    folder: Path, path: Path, chance: Random, seal: Callable[[Path, Path, bytes], None]
) -> str:
    """Change a file, mostly with the folder vouching for the new bytes; return how."""
    if chance.random() < 0.1:
        return replaced(path, chance)
    how, data = changed_file(path, chance)
    if chance.random() < 0.1:
        path.write_bytes(data)
    else:
        seal(folder, path, data)
    return how


@pytest.fixture(scope="module")
def kinds(llama_folder, tmp_path_factory) -> list[Path]:
    """A folder of each kind of skills."""
    place = tmp_path_factory.mktemp("kinds")
    return [saved(place / kind, llama_folder, kind=kind) for kind in KINDS]


def answer(folder: Path, base: Path) -> None:
    """Load skills as a user does, and let them answer."""
    logits(open_skills(folder, base=base, device="cpu", precision="float32")[0])


def test_skills_that_somebody_changed_are_used_or_refused(kinds, llama_folder, tmp_path, part):
    found: dict[str, str] = {}
    for number in range(EVERYTHING if part == "all" else SAMPLE):
        chance = Random(f"skills {number}")
        folder = Path(shutil.copytree(chance.choice(kinds), tmp_path / "skills"))
        path = chance.choice(regular(folder))
        how = mutated(folder, path, chance, vouch)
        found[f"{number}: {path.relative_to(folder)}: {how}"] = ending(
            partial(answer, folder, llama_folder)
        )
        shutil.rmtree(folder)
    check(found)


def seal(folder: Path, path: Path, data: bytes) -> None:
    """Put bytes in a file's place, and let the checkpoint's commit vouch for them."""
    commit = folder / checkpoint.COMMIT
    path.write_bytes(data)
    try:
        value = json.loads(commit.read_bytes())
        value.pop("digest", None)
        for entry in value["tensors"].values():
            if entry["file"] == path.name:
                entry["sha256"] = files.sha256_bytes(data)
        files.write_sealed(commit, value)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, OverflowError):
        return  # it cannot be sealed


def test_a_checkpoint_whose_results_do_not_fit_together_is_refused_at_once(
    undisturbed, unfinished, tmp_path
):
    folder = shutil.copytree(unfinished, tmp_path / unfinished.name) / "checkpoint"
    value = json.loads((folder / checkpoint.COMMIT).read_bytes())
    value["progress"]["evaluation"] = []
    seal(folder, folder / checkpoint.COMMIT, json.dumps(value).encode())
    line = "the record so far: 1 rows of entered do not fit .* Delete .* to start the run over"
    with pytest.raises(InputError, match=line):
        run(undisturbed.settings, runs=tmp_path)


def go_on(made: Prepared, folder: Path) -> None:
    """Go on from a checkpoint as a run does, to the end of its stage."""
    point = checkpoint.load(folder)
    if point is None:
        return
    stages, method = made.stages, made.method
    steps = [stage.steps for stage in stages]
    checkpoint.check_place(folder, point, steps, len(made.scored))
    if point.phase == "begin":
        return method.restore(point.state)
    method.resume(point.state, stages[point.stage])
    accelerator, how = Accelerator(cpu=True), made.settings.train
    with suppress(NonFiniteLoss):  # one line, too
        train_stage(method, stages[point.stage], how, accelerator, point.within, lambda *_: None)


def test_checkpoints_that_somebody_changed_are_gone_on_from_or_refused(
    undisturbed, unfinished, tmp_path, part
):
    made = prepare(undisturbed.settings)
    found: dict[str, str] = {}
    for number in range(EVERYTHING if part == "all" else SAMPLE):
        chance = Random(f"checkpoint {number}")
        place = Path(shutil.copytree(unfinished, tmp_path / unfinished.name))
        folder = place / "checkpoint"
        path = chance.choice([folder / checkpoint.COMMIT, *regular(folder)])
        how = mutated(folder, path, chance, seal)
        end = ending(partial(go_on, made, folder))
        if end == FINE and path.name == checkpoint.COMMIT:
            # Its plain values go into the record, and on the screen.
            end = ending(partial(run, undisturbed.settings, runs=tmp_path))
        found[f"{number}: {path.relative_to(place)}: {how}"] = end
        shutil.rmtree(place)
    check(found)
