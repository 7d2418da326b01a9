"""The line of `skills.py` that is `amlora learn`: a folder of skills, one more for each task.

Rows, steps, rate and optimisation are those of the other lines. `uses` decides itself. Nothing is
refused (`max_drop`), as the other lines have no gate; what a gate would have refused is kept. The
dev rows are given as stop rows, and with a fixed number of steps nothing follows from them. The
test rows are the kept rows, so the folder's own files say what each version answers to them.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from skills_cells import Cell, Entry, Protocol

import amlora
from amlora import files
from amlora.records.skills import Learned
from amlora.skills.assess import state
from amlora.skills.facts import Facts
from amlora.skills.settings import LearnSettings, Words
from amlora.streams.task import Task

ROUTER = "stages.safetensors"
ANSWERING = ("adapter_config.json", "adapter_model.safetensors")


class LearnLine:
    """A folder of skills."""

    def __init__(
        self, cell: Cell, protocol: Protocol, tasks: Sequence[Task], work: Path, places: int
    ) -> None:
        """Open the folder, or be ready to make it.

        Args:
            cell: rate and seed.
            protocol: what all lines share.
            tasks: in their order, with their rows.
            work: a folder for rows and skills.
            places: digits of a score.
        """
        self.cell, self.protocol, self.tasks, self.work = cell, protocol, tasks, work
        self.places = places
        self.folder = work / "skills"
        self.skills = amlora.Skills(self.folder, device="cpu", precision="bfloat16")

    def restore(self, stages: int) -> None:
        """Do nothing: the folder knows what it has learned."""

    def learn(self, index: int) -> Entry:
        """Learn a task, unless the folder has it; return what that took."""
        task = self.tasks[index]
        if not files.exists(self.folder) or task.name not in self.facts().learned:
            outcome = self.skills.learn(
                task.name,
                self.write_rows(task),
                model=self.protocol.model,
                words=Words(instruction=task.instruction, options=task.options),
                settings=self.settings(task),
            )
            if not outcome.published:
                self.skills.publish(force=True)
        facts = self.facts()
        learned, standing = facts.learned[task.name], facts.standing
        assert standing is not None
        return {
            "rows": learned.rows["train"],
            "tokens": learned.tokens,
            "losses": [round(look[1], self.places) for look in learned.losses[1:]],
            "train_seconds": round(learned.seconds["train"], 1),
            "other_seconds": round(other_seconds(learned), 1),
            "stored_bytes": self.answering(),
            "uses": list(learned.uses.names),
            "refused": list(standing.gate.refused),
        }

    def settings(self, task: Task) -> LearnSettings:
        """Return how a task is learned."""
        return LearnSettings(
            lr=self.cell.rate,
            batch=self.protocol.batch,
            steps=self.protocol.steps,
            max_tokens=self.protocol.max_tokens,
            keep_dev=len(task.test),
            max_drop=100,
            seed=self.cell.seed,
        )

    def write_rows(self, task: Task) -> Path:
        """Write a task's rows as files for `learn`; return their folder."""
        folder = self.work / "rows" / task.name
        files.make_folder(folder)
        for name, rows in (("train", task.train), ("dev", task.dev), ("test", task.test)):
            lines = [json.dumps({"text": row.text, "label": row.label}) for row in rows]
            files.write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
        return folder

    def facts(self) -> Facts:
        """Return what the version in use says of its skills."""
        return self.skills.facts()

    def answering(self) -> int:
        """Return the bytes of the files that answers need: LoRAs and router."""
        manifest = self.facts().manifest
        return sum(
            file.size
            for name, file in manifest.files.items()
            if name.rpartition("/")[2] in ANSWERING or name == f"{manifest.folder}/{ROUTER}"
        )

    def score(self, index: int, earlier: dict[str, list[float]]) -> Entry:
        """Return what the folder says of its rows: scores, and who answers them."""
        now = state(self.facts())
        scores: dict[str, list[float]] = {}
        answered: dict[str, dict[str, int]] = {}
        for task in self.tasks[: index + 1]:
            replies = {number(row.row): now.reply(task.name, row) for row in now.rows(task.name)}
            assert [*sorted(replies)] == [*range(len(task.test))], task.name
            rows = [replies[place] for place in range(len(task.test))]
            scores[task.name] = [round(reply.score, self.places) for reply in rows]
            answered[task.name] = dict(Counter(reply.by for reply in rows))
        astray = sum(
            count for task, by in answered.items() for name, count in by.items() if name != task
        )
        return {"scores": scores, "answered": answered, "misrouted": astray}


def number(row: str) -> int:
    """Return a row's place in its file."""
    return int(row.rpartition(":")[2])


def other_seconds(learned: Learned) -> float:
    """Return the seconds that were not spent on training: looks, scores, comparisons."""
    return sum(seconds for name, seconds in learned.seconds.items() if name != "train")
