"""`amlora.Skills`: a folder of skills, with the same words as the command line.

    skills = amlora.Skills("helpdesk")
    outcome = skills.learn("billing", "billing.csv", model="Qwen/Qwen3-0.6B")
    skills.predict(["why was I charged twice?"])
    skills.rollback()

Nothing is read before it is needed. The model is loaded for the first answer, and again when
another version has come into use. Threads that ask at once are answered one after another.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amlora import files
from amlora.engine.backbone import Backbone
from amlora.engine.settings import Device, Precision
from amlora.errors import InputError
from amlora.experiment.reporter import Reporter
from amlora.mixture import publish as use
from amlora.mixture.manifest import Manifest
from amlora.mixture.version import in_use, list_versions, numbers, read_version, steadily
from amlora.records.folder import Folder
from amlora.records.skills import Change, Standing
from amlora.skills.answer import Answers, answer, cards_of
from amlora.skills.edit import remove, rename
from amlora.skills.facts import Facts, read_facts
from amlora.skills.find import find_skills
from amlora.skills.history import history
from amlora.skills.hold import holding
from amlora.skills.learn import Outcome, learn
from amlora.skills.load import LoadedSkills, open_skills
from amlora.skills.loading import Loading
from amlora.skills.overview import overview
from amlora.skills.regression import changes_of
from amlora.skills.rescore import Rescored, rescore
from amlora.skills.settings import LearnSettings, Words


@dataclass(frozen=True)
class VersionLine:
    """A version in a list."""

    version: str
    """As in "0003"."""
    parent: str | None
    """The one that it was made from."""
    in_use: bool
    did: str
    """What was done, as in "learn billing"."""
    gate: str
    """"passed", "refused", or "" where no gate was asked."""
    skills: list[str]


class Skills:
    """A folder of skills: learn, compare, publish, ask.

    Args:
        folder: of skills; `learn` makes it. For reading, also a run's folder or a hub id.
        base: where the base model is, if not where the folder says.
        device: None for a GPU where there is one.
        precision: of the arithmetic; "auto" is bfloat16 where the device has it.
        trust_remote_code: run Python code that comes with the base model.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        base: str | Path | None = None,
        device: Device | None = None,
        precision: Precision = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        self.name = str(folder)
        self.folder = Path(folder).expanduser()
        self.loading = Loading(
            None if base is None else str(base), device or "auto", precision, trust_remote_code
        )
        self.loaded: tuple[Manifest, Backbone, LoadedSkills] | None = None
        self.turn = threading.RLock()  # the routes of what is asked are the model's own

    def learn(
        self,
        task: str,
        data: str | Path,
        *,
        model: str | None = None,
        words: Words | None = None,
        settings: LearnSettings | None = None,
        update: bool = False,
        reporter: Reporter | None = None,
    ) -> Outcome:
        """Learn a task as a new skill; see `amlora.skills.learn.learn`."""
        self.loaded = None  # two models at once may not fit
        return learn(
            self.folder,
            task,
            str(data),
            model=model,
            words=words,
            settings=settings,
            update=update,
            loading=self.loading,
            reporter=reporter,
        )

    def remove(self, name: str, *, max_drop: float = 2.0) -> Outcome:
        """Take a skill out, in a new version; `prune` then removes what only older ones need."""
        self.loaded = None
        return remove(self.folder, name, loading=self.loading, max_drop=max_drop)

    def rename(self, old: str, new: str) -> Outcome:
        """Call a skill by another name, in a new version."""
        return rename(self.folder, old, new)

    def publish(self, version: str | int | None = None, *, force: bool = False) -> str:
        """Bring a version into use, and return it.

        Args:
            version: None for the newest.
            force: also where the gate refused it, or it lacks a skill of the version in use.

        Raises:
            InputError: there is no such version, or it takes `force`.
        """
        with holding(self.existing()):
            wanted = self.numbered(version, newest=True)
            facts = read_facts(self.folder, read_version(self.folder, wanted))
            if not force:
                self.check_publish(facts)
            use.publish(self.folder, wanted)
        return wanted

    def check_publish(self, facts: Facts) -> None:
        """Refuse a version that should not be used by oversight."""
        version = facts.manifest.version
        if facts.standing is not None and not facts.standing.gate.passed:
            why = "; ".join(facts.standing.gate.refused)
            raise InputError(f"{self.name}: version {int(version)} was refused: {why}; --force.")
        if lost := use.lost_by(self.folder, version):
            raise InputError(
                f"{self.name}: version {int(version)} lacks {', '.join(lost)} of the version in"
                " use; --force."
            )

    def rollback(self) -> str:
        """Bring the version that the one in use was made from into use, and return it."""
        with holding(self.existing()):
            return use.rollback(self.folder)

    def prune(self, *, history: bool = False) -> list[str]:
        """Remove the versions that the one in use does not come from; return which.

        With `history` also those that it comes from: then kept rows of removed skills leave the
        disk, and there is nothing to roll back to.
        """
        with holding(self.existing()):
            return use.prune(self.folder, history=history)

    def versions(self) -> list[VersionLine]:
        """List all versions, oldest first."""
        folder = self.existing()

        def read() -> list[VersionLine]:
            current = in_use(folder)
            return [self.line(read_facts(folder, each), current) for each in list_versions(folder)]

        return steadily(folder, read)

    def line(self, facts: Facts, current: str | None) -> VersionLine:
        """Return a version as a line of a list."""
        manifest, standing = facts.manifest, facts.standing
        return VersionLine(
            version=manifest.version,
            parent=manifest.previous.version if manifest.previous else None,
            in_use=manifest.version == current,
            did=f"{standing.did} {standing.skill}" if standing else "",
            gate="" if standing is None else "passed" if standing.gate.passed else "refused",
            skills=[skill.name for skill in manifest.skills],
        )

    def show(self, version: str | int | None = None) -> dict[str, Any]:
        """Return what a version holds, as plain values; see `amlora.skills.overview.overview`."""
        place = self.place()
        if version is not None:
            return overview(place, read_version(place, self.numbered(version)))
        return steadily(place, lambda: overview(place, read_version(place)))

    def report(self, version: str | int | None = None) -> Standing:
        """Return what a version did to the skills before it, and what the gate said."""
        wanted = None if version is None else int(self.numbered(version))
        return self.history().version(wanted).standing

    def history(self) -> Folder:
        """Read what all versions say of their skills, for a report."""
        folder = self.existing()
        return steadily(folder, lambda: history(folder, self.name))

    def diff(self, first: str | int, second: str | int) -> list[Change]:
        """Compare what two versions answer, skill by skill, worst first."""
        folder = self.history()
        old, new = (folder.version(int(self.numbered(each))) for each in (first, second))
        return changes_of(
            old.state,
            new.state,
            max_drop=new.standing.gate.max_drop,
            renamed=folder.renamed(old, new),
        )

    def eval(
        self,
        task: str | None = None,
        data: str | Path | None = None,
        *,
        label: str = "label",
    ) -> list[Rescored]:
        """Answer the kept rows of every skill, or of one, or fresh rows of one, and score them.

        Each prompt goes to the skill that the router sends it to. `label` is the column of the
        right answers in fresh rows.
        """
        given, place = None if data is None else str(data), self.place()

        def read() -> tuple[Backbone, LoadedSkills, Facts]:
            manifest, backbone, learned = self.load()
            return backbone, learned, read_facts(place, manifest)

        with self.turn:
            return rescore(*steadily(place, read), task, given, label)

    def predict(
        self,
        texts: Sequence[str],
        *,
        task: str | None = None,
        raw: bool = False,
        choose: bool = False,
        batch: int = 1,
        max_new_tokens: int | None = None,
    ) -> Answers:
        """Answer texts; see `amlora.skills.answer.answer` for what is returned.

        Args:
            texts: any number.
            task: the skill whose words go round them; None for the one that each text tells.
            raw: send them as they are.
            choose: take the likeliest option instead of generating.
            batch: prompts at once; more is faster and may round otherwise.
            max_new_tokens: where answers are cut.
        """
        with self.turn:
            _, backbone, learned = self.load()
            cards = (
                [None] * len(texts) if raw else cards_of(backbone, learned, texts, task, self.name)
            )
            return answer(
                backbone,
                learned,
                texts,
                cards,
                choose=choose,
                batch=batch,
                max_new_tokens=max_new_tokens,
            )[0]

    def facts(self, version: str | int | None = None) -> Facts:
        """Read what a version says of its skills; None is the one in use."""
        folder = self.existing()
        if version is not None:
            return read_facts(folder, read_version(folder, self.numbered(version)))
        return steadily(folder, lambda: read_facts(folder, read_version(folder)))

    def load(self) -> tuple[Manifest, Backbone, LoadedSkills]:
        """Return the version in use with its model, loaded if it is not, or not any more."""
        place = self.place()
        used = steadily(place, lambda: read_version(place))
        if self.loaded is None or self.loaded[0] != used:  # also of a folder made anew
            self.loaded = None
            how = self.loading
            backbone, learned = open_skills(
                place,
                base=how.base,
                device=how.device,
                precision=how.precision,
                trust_remote_code=how.trust_remote_code,
            )
            assert learned.manifest is not None
            self.loaded = learned.manifest, backbone, learned
        return self.loaded

    def place(self) -> Path:
        """Return the folder that holds CURRENT, also of a run or from the hub."""
        return find_skills(self.name)

    def existing(self) -> Path:
        """Return the folder, or an InputError where there are no versions."""
        if not files.exists(self.folder):
            raise InputError(f"{self.name}: no such folder.")
        if not numbers(self.folder):
            raise InputError(f"{self.name}: no skills here; `amlora learn` makes some.")
        return self.folder

    def numbered(self, version: str | int | None, *, newest: bool = False) -> str:
        """Return a version as its folder is called, given 3, "3" or "0003"."""
        known = numbers(self.folder)
        if version is None:
            return known[-1] if newest else read_version(self.folder).version
        wanted = str(version)
        name = f"{int(wanted):04}" if wanted.isascii() and wanted.isdecimal() else wanted
        if name not in known:
            there = ", ".join(str(int(each)) for each in known)
            raise InputError(f"{self.name}: no version {wanted!r}; there are {there}.")
        return name
