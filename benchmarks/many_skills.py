"""How the work of a skills folder grows with its skills.

    python benchmarks/many_skills.py
    python benchmarks/many_skills.py --out FILE.json
    python benchmarks/many_skills.py --show FILE.json

Two folders get skill after skill on a tiny model. One gets LoRAs of random numbers, each on top of
the two before it, each with kept rows beside it. It tells what it takes to load the folder, to
write one more skill, and to tell a prompt's skill. The other one is made by `learn`, of small tasks
and in a single step, so that its time is that of all the rest: reading, scoring, comparing with the
version before, writing. The last two lines of the table say how a column grows: the exponent e of
skills^e, fitted to all counts and between the last two.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from machine import machine
from pandas import DataFrame
from subjects import save_random_llama
from torch import Tensor
from words import WORDS

import amlora
from amlora import files
from amlora.engine.backbone import Backbone, base_of
from amlora.engine.load import load_backbone
from amlora.engine.route import Router
from amlora.engine.settings import ModelSettings
from amlora.methods.anchored_lora import AnchoredLoRASettings
from amlora.mixture.draft import Draft
from amlora.mixture.inject import find_targets, linear_sizes, modules_of, remove
from amlora.mixture.load import load_skills, read_skills
from amlora.mixture.manifest import CURRENT, KEPT_ROWS, KEPT_VECTORS, LEARNED, TaskCard
from amlora.mixture.stages import Stages
from amlora.mixture.version import read_version
from amlora.report.write import Sheet, write
from amlora.skills.settings import LearnSettings, Words

COUNTS = (1, 10, 25, 50, 100)
RANK, ALPHA = 8, 32.0
USED = 2
"""Skills that a skill is learned on top of: the ones before it."""
KEPT, PROMPTS, TOKENS = 200, 96, 64
"""Kept rows of a skill, prompts that it is told by, and tokens of a prompt that is told."""
REPEATS = 5
SPLITS = {"train": 24, "dev": 4, "test": 8}
"""Rows of a task that `learn` learns."""


@dataclass(frozen=True)
class Found:
    """What a number of skills takes."""

    skills: int
    files_read: int
    """At load."""
    bytes_read: int
    """At load."""
    bytes_kept: int
    """All that lies in the folder, all versions."""
    load_seconds: float
    """All files read and checked, and the LoRAs put into a model that is there."""
    add_seconds: float
    """The last of these skills, once learned, is written, and the version published."""
    tell_seconds: float
    """A prompt's skill."""
    learn_seconds: float
    """The last of these skills, by `learn`, in a single step."""


def main() -> None:
    """Measure, or show what was measured."""
    chosen = arguments()
    if chosen.show:
        found = [Found(**each) for each in files.read_json(chosen.show)["measured"]]
    else:
        torch.set_num_threads(1)
        with TemporaryDirectory() as name:
            found = [*measured(Path(name), chosen.counts)]
    if chosen.out:
        value = {"machine": machine(), "measured": [asdict(each) for each in found]}
        files.write_json(chosen.out, value)
    shown = table(found)
    title = "What a folder of skills takes"
    print(write([Sheet(title=title, values=shown, shown=shown, words=[])], chosen.format), end="")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", nargs="+", type=int, default=[*COUNTS])
    parser.add_argument("--out", type=Path, help="a JSON file for all numbers")
    parser.add_argument("--show", type=Path, help="print the table of such a file")
    parser.add_argument("--format", choices=["text", "markdown", "csv"], default="text")
    return parser.parse_args()


def measured(place: Path, counts: Sequence[int]) -> Iterator[Found]:
    """Let a folder grow, and give what each of the counts takes, in a place for all files."""
    save_random_llama(place / "model", "smoke")
    backbone = load_backbone(
        ModelSettings(name=str(place / "model"), precision="float32", device="cpu")
    )
    grown = Grown(place / "skills", backbone)
    taught = Taught(place / "taught", place / "model")
    adding: list[float] = []
    learning: list[float] = []
    for count in sorted(counts):
        while len(grown.names) < count:
            adding.append(seconds_of(grown.add))
        while len(taught.names) < count:
            learning.append(seconds_of(taught.learn))
        yield Found(
            count,
            *grown.read_at_load(),
            grown.bytes_kept(),
            statistics.median(seconds_of(grown.load) for _ in range(REPEATS)),
            statistics.median(adding[-REPEATS:]),
            grown.tell_seconds(),
            statistics.median(learning[-REPEATS:]),
        )


class Grown:
    """A folder that gets skill after skill."""

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.folder, self.backbone = folder, backbone
        self.base = base_of(backbone)
        model = backbone.model
        self.targets = find_targets(model, model.config.model_type)
        modules = modules_of(model)
        self.sizes = {name: linear_sizes(modules[name]) for name in self.targets}
        self.width = model.get_input_embeddings().get_parameter("weight").shape[1]
        self.stages = Stages(AnchoredLoRASettings().of_stages())
        self.names: list[str] = []

    def add(self) -> None:
        """Write one more skill, and publish it."""
        name = f"skill-{len(self.names) + 1}"
        draft = (
            Draft.of(self.folder, read_version(self.folder))
            if files.exists(self.folder / CURRENT)
            else Draft.new(
                self.base,
                targets=self.targets,
                dtype="float32",
                combine="sum",
                gain=False,
                stages=self.stages.settings,
            )
        )
        draft.add(
            TaskCard(name=name, instruction=f"Which {name}?", options=("yes", "no")),
            rank=RANK,
            alpha=ALPHA,
            tensors=self.lora(name),
            uses=self.names[-USED:],
            extra=beside(name, self.width),
        )
        self.stages.add(random(f"{name} prompts", PROMPTS, self.width))
        self.names.append(name)
        with files.lock(self.folder):
            draft.write(self.folder, router=self.stages, scores={}, publish=True)

    def lora(self, name: str) -> dict[str, Tensor]:
        """Return a LoRA of random numbers that the name decides."""
        tensors: dict[str, Tensor] = {}
        for layer, sizes in self.sizes.items():
            assert sizes is not None
            for side, size in zip("ab", sizes, strict=True):
                tensors[f"{layer}.{side}"] = random(f"{name} {layer} {side}", RANK, size) / 10
        return tensors

    def load(self) -> None:
        """Load the folder into the model, and take it out again."""
        model = self.backbone.model
        mixture = load_skills(self.folder, model, read_skills(self.folder), base=self.base)
        remove(model, mixture)

    def read_at_load(self) -> tuple[int, int]:
        """Return how many files a load reads, and their bytes."""
        paths = opened(self.load, self.folder)
        return len(paths), sum(path.stat().st_size for path in paths)

    def bytes_kept(self) -> int:
        """Return the bytes of all files of the folder."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def tell_seconds(self) -> float:
        """Return the seconds that telling a prompt's skill takes."""
        stages = read_skills(self.folder).stages
        assert stages is not None
        router = Router(self.backbone, stages)
        router.read((5,))  # what is made once
        ids = torch.randint(4, 300, (100, TOKENS), generator=seeded("prompts")).tolist()
        return statistics.median(
            seconds_of(lambda prompt=tuple(prompt): router.read(prompt)) for prompt in ids
        )


class Taught:
    """A folder that `learn` makes, of small tasks."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.skills = amlora.Skills(folder / "skills", device="cpu", precision="float32")
        self.names: list[str] = []

    def learn(self) -> None:
        """Learn one more task, on the base model, and publish it whatever it did to others."""
        name = f"skill-{len(self.names) + 1}"
        data = self.folder / "rows" / name
        files.make_folder(data)
        for split, count in SPLITS.items():
            rows = [
                {"text": f"{name} {split} {row} {words(f'{name} {split} {row}')}", "label": label}
                for row, label in zip(range(count), itertools.cycle(("yes", "no")), strict=False)
            ]
            files.write_text(data / f"{split}.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        outcome = self.skills.learn(
            name,
            data,
            model=str(self.model),
            words=Words(instruction=f"Which {name}?"),
            settings=LearnSettings(steps=1, uses="none", max_drop=100),
        )
        if not outcome.published:
            self.skills.publish(force=True)
        self.names.append(name)


def words(name: str) -> str:
    """Return a text that a name decides."""
    drawn = torch.randint(len(WORDS.split()), (12,), generator=seeded(name)).tolist()
    return " ".join(WORDS.split()[place] for place in drawn)


def beside(name: str, width: int) -> dict[str, bytes]:
    """Return what lies beside a skill: how it was learned, and its kept rows."""
    rows = [
        {"row": f"kept:{row}", "text": f"{name} {row} {'word ' * TOKENS}", "label": "yes"}
        for row in range(KEPT)
    ]
    vectors = {"vectors": random(f"{name} kept", KEPT, width)}
    return {
        LEARNED: files.json_bytes({"task": name, "metric": "exact", "score": 0.5}),
        KEPT_ROWS: "".join(json.dumps(row) + "\n" for row in rows).encode(),
        KEPT_VECTORS: files.tensor_bytes(vectors, {}),
    }


def seeded(name: str) -> torch.Generator:
    """Return a generator that a name decides."""
    return torch.Generator().manual_seed(int(files.digest(name)[:8], 16))


def random(name: str, *size: int) -> Tensor:
    """Return normal numbers that a name decides."""
    return torch.randn(size, generator=seeded(name))


def opened(work: Callable[[], object], folder: Path) -> list[Path]:
    """Return the files of a folder that are opened, each as often as it is."""
    found: list[Path] = []
    usual = os.open

    def noting(path: Any, *rest: Any, **given: Any) -> int:
        handle = usual(path, *rest, **given)
        if isinstance(path, str | os.PathLike) and folder in Path(path).parents:
            found.append(Path(path))
        return handle

    with patch.object(os, "open", noting):
        work()
    return [path for path in found if path.is_file()]


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


COLUMNS: dict[str, tuple[str, float, str]] = {
    "files_read": ("files read", 1, "{:.0f}"),
    "bytes_read": ("MB read", 1e-6, "{:.2f}"),
    "bytes_kept": ("MB in the folder", 1e-6, "{:.1f}"),
    "load_seconds": ("load, s", 1, "{:.3f}"),
    "add_seconds": ("add one, s", 1, "{:.3f}"),
    "tell_seconds": ("tell a prompt, ms", 1e3, "{:.2f}"),
    "learn_seconds": ("learn one, s", 1, "{:.2f}"),
}
"""Heading, unit and form of what is shown."""


def table(found: Sequence[Found]) -> DataFrame:
    """Return a line for each count, and how the columns grow."""
    lines = [{"skills": str(each.skills), **shown(each)} for each in found]
    for label, chosen in (("exponent", found), ("of the last two", found[-2:])):
        if len(chosen) > 1:
            values = {
                heading: f"{exponent([(f.skills, vars(f)[name]) for f in chosen]):.2f}"
                for name, (heading, _, _) in COLUMNS.items()
            }
            lines.append({"skills": label, **values})
    return DataFrame(lines)


def shown(found: Found) -> dict[str, str]:
    """Return a count's cells, by heading."""
    values = vars(found)
    return {head: form.format(unit * values[name]) for name, (head, unit, form) in COLUMNS.items()}


def exponent(pairs: Sequence[tuple[float, float]]) -> float:
    """Return e of a curve c n^e through pairs of n and values above 0: least squares of logs."""
    x, y = zip(*((math.log(n), math.log(value)) for n, value in pairs), strict=True)
    return statistics.linear_regression(x, y).slope


if __name__ == "__main__":
    main()
