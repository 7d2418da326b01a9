"""Tables of small tasks that tiny models learn in a second, and a folder of skills made of them."""

import csv
import random
from pathlib import Path

from amlora.methods.lora import LoRASettings
from amlora.skills.learn import Outcome, learn
from amlora.skills.loading import Loading
from amlora.skills.settings import LearnSettings, Words

TASKS = {
    "film": {"Good": "a very good film", "Bad": "a bad story"},
    "topic": {"Sports": "the team won the game", "Business": "the market fell today"},
    "truth": {"True": "the sentence is true", "False": "the option is wrong"},
}
"""By task: what a text of each label begins with."""
QUICK = LearnSettings(lora=LoRASettings(rank=4, alpha=32.0, dropout=0.0), lr=1e-2, steps=40)
FLOAT32 = Loading(device="cpu", precision="float32")


def write_table(folder: Path, name: str, *, rows: int = 48, swapped: bool = False) -> Path:
    """Write the rows of a task; swapped: each label on the other's texts. Texts hold "secret-N"."""
    rng, path = random.Random(name), folder / f"{name}{'-swapped' if swapped else ''}.csv"
    starts = TASKS[name]
    labels = list(starts)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number in range(rows):
            label = labels[number % 2]
            said = labels[1 - number % 2] if swapped else label
            word = "".join(rng.choice("abcdefgh") for _ in range(4))
            table.writerow([f"{starts[label]} {word} secret-{number}-{name}", said])
    return path


def words(name: str) -> Words:
    """Return the words around a task's texts."""
    return Words(instruction=f"What is the {name} of the following paragraph?")


def learned(
    folder: Path, model: Path, name: str, data: Path, *, settings: LearnSettings = QUICK, **given
) -> Outcome:
    """Learn one task on a tiny model."""
    return learn(
        folder,
        given.pop("task", name),
        str(data),
        model=str(model),
        words=words(name),
        settings=settings,
        loading=FLOAT32,
        **given,
    )
