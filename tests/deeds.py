"""Every command that changes a folder of skills, on a tiny one, and what may be found after it.

The folder has three versions: 1 (film), 2 (film, topic), which is in use, and 3, a candidate, with
a third skill too. A fourth task is half learned. Kept apart from the tests because processes of
their own import it by name.
"""

import multiprocessing
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from amlora import files
from amlora.engine.backbone import base_of
from amlora.engine.encode import Row, encode_prompts
from amlora.engine.route import by_routes
from amlora.experiment.stop import Interrupted
from amlora.mixture.load import read_skills
from amlora.mixture.version import in_use, list_versions, read_version, verify
from amlora.mixture.write import unknown_tasks, unwritten
from amlora.skills.bench import Bench
from amlora.skills.edit import remove, rename
from amlora.skills.hold import WORK
from amlora.skills.learn import Outcome
from amlora.skills.skills import Skills
from amlora.streams.prompt import Prompt
from broken_disk import Kills, disk, strays, whole
from killed import IMPORTED, LONGEST
from stopped import StopAt
from tables import FLOAT32, QUICK, learned, write_table
from trained import load_base

ROWS = 20
STEPS = 40
QUICKEST = QUICK.replace(steps=STEPS, max_drop=100.0)
TEXTS = ("a very good film", "the team won the game", "the option is wrong", "who knows")


@dataclass(frozen=True)
class Place:
    """Where the folder, its copies' model and its tables are."""

    model: Path
    data: Path
    pristine: Path
    """The folder; work on copies of it."""

    def copy(self, to: Path, *, anew: bool = False) -> Path:
        """Copy the folder; `anew`: without the work of the half learned task."""
        folder = Path(shutil.copytree(self.pristine, to))
        if anew:
            shutil.rmtree(folder / WORK)
        return folder

    def learn(self, folder: Path, name: str, **given) -> Outcome:
        data = self.data / f"{name}.csv"
        return learned(folder, self.model, name, data, settings=QUICKEST, **given)

    def do(self, deed: str, folder: Path) -> object:
        """Do something to a folder; the names are the commands'."""
        skills = Skills(folder, device="cpu", precision="float32")
        deeds: dict[str, Callable[[], object]] = {
            "learn": lambda: self.learn(folder, "truth"),
            "publish": lambda: skills.publish(3, force=True),
            "rollback": skills.rollback,
            "remove": lambda: remove(folder, "film", loading=FLOAT32, max_drop=100.0),
            "rename": lambda: rename(folder, "film", "movie"),
            "prune": skills.prune,
        }
        return deeds[deed]()


DEEDS = ("learn", "publish", "rollback", "remove", "rename", "prune")


def made(place: Path, model: Path) -> Place:
    """Make the folder."""
    found = Place(model, place, place / "skills")
    for name in ("film", "topic", "truth"):
        write_table(place, name, rows=ROWS)
        assert found.learn(found.pristine, name, **({"task": "old"} if name == "truth" else {}))
    skills = Skills(found.pristine)
    assert skills.rollback() == "0002"
    with pytest.raises(Interrupted):
        found.learn(found.pristine, "truth", reporter=StopAt(STEPS - 2))
    assert (found.pristine / WORK).exists() and in_use(found.pristine) == "0002"
    return found


Answers = tuple[tuple[str, ...], tuple[tuple[str, bytes], ...]]
"""The skills' names; who answers each of `TEXTS`, and the bits of what is said."""


class Reader:
    """A base model in memory on which any version can be put, to see what it answers."""

    def __init__(self, model: Path) -> None:
        self.backbone = load_base(model)
        self.base = base_of(self.backbone)
        prompts = [Prompt("", text, "") for text in TEXTS]
        self.prompts = [ids for ids, _ in encode_prompts(self.backbone, prompts)]

    def answers(self, folder: Path, version: str | None = None) -> Answers:
        """Return what a version answers, the one in use if none is named."""
        stored = read_skills(folder, version)
        manifest, stages = stored.manifest, stored.stages
        assert stages is not None
        bench = Bench(self.backbone, self.base, manifest.targets, manifest.combine, stages)
        bench.fill(stored)
        bench.put_on()
        rows = [Row("", "", ids, (), "") for ids in self.prompts]
        who = bench.destinations(bench.vectors(rows))
        said = [
            self.logits(bench.routed([row], name)[0]) for row, name in zip(rows, who, strict=True)
        ]
        bench.take_off()
        told = [(name, each.numpy().tobytes()) for name, each in zip(who, said, strict=True)]
        return tuple(bench.names), tuple(told)

    @torch.inference_mode()
    def logits(self, row: Row) -> Tensor:
        with by_routes(self.backbone, [row]):
            return self.backbone.model(input_ids=torch.tensor([row.prompt_ids])).logits


def weights(folder: Path, skill: str) -> bytes:
    """Return the bytes of a skill's own LoRA, of the version in use."""
    manifest = read_version(folder)
    return (folder / manifest.folder_of(skill) / "adapter_model.safetensors").read_bytes()


def check_whole(folder: Path) -> None:
    """Every version that is there is whole; one is in use."""
    for manifest in list_versions(folder):
        verify(folder, manifest.version)
    verify(folder)


def left_over(folder: Path, deed: str) -> list[str]:
    """Return what is in a folder that should not be once a command came to its end.

    What is half learned is for `learn` to remove, and a pruned folder may hold one empty version,
    which says what number comes next.
    """
    found = [str(path.relative_to(folder)) for path in strays(folder)]
    known = {"CURRENT", "tasks", "versions", ".lock"} | ({WORK} if deed != "learn" else set())
    found += sorted({path.name for path in folder.iterdir()} - known)
    found += sorted(unknown_tasks(folder))
    empty = [folder / "versions" / name for name in unwritten(folder)]
    found += [str(path) for path in empty if deed != "prune" or any(path.iterdir())]
    stated = {name for manifest in list_versions(folder) for name in manifest.files}
    stated |= {f"{manifest.folder}/manifest.json" for manifest in list_versions(folder)}
    for top in ("tasks", "versions"):
        there = [path for path in (folder / top).rglob("*") if path.is_file()]
        found += sorted({str(path.relative_to(folder)) for path in there} - stated)
    return found


def settle(folder: Path) -> None:
    """Do a next command that changes nothing: publish what is in use."""
    used = in_use(folder)
    assert used is not None
    assert Skills(folder).publish(used, force=True) == used
    assert files.exists(folder / "CURRENT")


@dataclass(frozen=True)
class Kill:
    """When a command's process is killed: within an operation on a file, or after some seconds."""

    operation: int = 0
    seconds: float = 0.0


def work(place: Place, deed: str, folder: Path, operation: int) -> None:
    """Do something in this process, to be killed within an operation, if one is given."""
    torch.set_num_threads(1)
    with disk(Kills(operation) if operation else whole):
        place.do(deed, folder)


def killed(place: Place, deed: str, folder: Path, kill: Kill = Kill()) -> bool:
    """Do something in a process of its own; tell whether it was killed before its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=work, args=(place, deed, folder, kill.operation))
    process.start()
    process.join(kill.seconds or LONGEST)
    if process.is_alive():
        assert kill.seconds, f"{deed} in {folder} hangs"
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode} of {deed}"
    return process.exitcode == -signal.SIGKILL
