"""`learn`: add one skill to a folder, see what it did to the others, publish it if it did no harm.

    read      the task's rows; the folder's version in use; the base model
    before    zero-shot and majority scores, who would answer the new prompts, which skills help
    learn     one LoRA on top of those (`train.py`), stopped early on the stop rows
    after     the new skill's answers on its kept rows; every earlier skill's rows that now go
              elsewhere, answered anew (`assess.py`); the gate (`gate.py`)
    write     a new version, in use if the gate let it pass, else a candidate

Nothing of the folder changes before the last step, and what a killed `learn` had trained is found
again by the next one.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from torch import Tensor

from amlora import files
from amlora.engine.encode import Row, longest_option
from amlora.engine.settings import EvaluateSettings
from amlora.errors import InputError
from amlora.evaluate.paired import mean_interval
from amlora.experiment.finish import card_of
from amlora.experiment.reporter import Reporter, Silent
from amlora.experiment.stop import Stop
from amlora.mixture.draft import Draft
from amlora.mixture.manifest import LEARNED, TaskCard
from amlora.mixture.route import NONE
from amlora.mixture.version import in_use
from amlora.records.skills import Interval, Learned, Standing, Uses
from amlora.skills.assess import assess
from amlora.skills.begin import open_bench, read_before
from amlora.skills.bench import Bench
from amlora.skills.cost import environment, told_cost
from amlora.skills.data import NewTask, read_task
from amlora.skills.facts import Facts, Kept, prompt_of
from amlora.skills.hold import WORK, holding, will_write
from amlora.skills.keep import kept_of, stored, without_texts
from amlora.skills.loading import Loading
from amlora.skills.metric import majority_score
from amlora.skills.score import Scored, mean_score, room_for, score_rows
from amlora.skills.settings import LearnSettings, Words, check_name
from amlora.skills.train import Trained, train_skill
from amlora.skills.uses import choose_uses, own_places

Known = TypeVar("Known")
ROUTED = 20_000
"""Train prompts that the router learns from at most: more hardly move its means, and would take 14
gigabytes at a hundred thousand of width 4096."""


@dataclass(frozen=True)
class Outcome:
    """What was done to a folder."""

    version: str
    """That was written."""
    published: bool
    """Whether it is in use; otherwise it is a candidate."""
    standing: Standing
    learned: Learned | None = None
    """None where no skill was learned."""
    notes: list[str] = field(default_factory=list[str])


def learn(
    folder: Path,
    name: str,
    data: str,
    *,
    model: str | None = None,
    words: Words | None = None,
    settings: LearnSettings | None = None,
    update: bool = False,
    loading: Loading | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Learn a task as a new skill.

    Args:
        folder: of skills; made by the first one.
        name: the skill's.
        data: its rows: a file, a folder, a hub id, or "quickstart/NAME".
        model: the base model of a new folder; an old one has its own.
        words: around the texts, and where its columns are.
        settings: how it is learned.
        update: the skill is there already, and is learned anew and replaced.
        loading: how the base model is loaded.
        reporter: told of what happens.

    Returns:
        What came of it; `published` is False where the gate refused.

    Raises:
        InputError: a caller's mistake, in one line; nothing was changed.
        Interrupted: Ctrl-C or SIGTERM, once what was learned is on the disk.
        NonFiniteLoss: the loss became no number.
    """
    return Learning(
        folder,
        name,
        data,
        model,
        words or Words(),
        settings or LearnSettings(),
        update,
        loading or Loading(),
        reporter or Silent(),
    ).run()


@dataclass
class Learning:
    """One `learn`, from its first line to its last."""

    folder: Path
    name: str
    data: str
    model: str | None
    words: Words
    settings: LearnSettings
    update: bool
    loading: Loading
    tell: Reporter
    notes: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    clock: float = field(default_factory=time.perf_counter)

    def note(self, text: str) -> None:
        """Say a line, and keep it for the outcome."""
        self.notes.append(text)
        self.tell.note(text)

    def spent(self, what: str) -> None:
        """Book the time since the last call."""
        now = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + now - self.clock
        self.clock = now

    def run(self) -> Outcome:
        """Go through it."""
        try:
            check_name(self.name)
        except ValueError as error:
            raise InputError(f"--task: {error}") from None
        with ExitStack() as held:
            there = files.exists(self.folder)
            if there:
                held.enter_context(holding(self.folder))
            before = read_before(
                self.folder, self.name, self.model, self.settings, update=self.update
            )
            task = read_task(self.name, self.data, self.words, self.settings)
            bench = open_bench(self.folder, before, self.model, self.settings, self.loading)
            if not there:  # made only now, when nothing is wrong with data and model
                held.enter_context(holding(self.folder))
                if in_use(self.folder) is not None:
                    raise InputError(f"{self.folder}: another process made it meanwhile.")
            self.spent("load")
            with (stop := Stop()).listening(self.tell.note):
                return self.go(bench, before, task, stop)

    def go(self, bench: Bench, before: Facts | None, task: NewTask, stop: Stop) -> Outcome:
        """Learn, compare, judge and write."""
        card, found = card_of(task.task), task.task
        train, stopping, scored = (
            bench.rows(card, rows) for rows in (found.train, found.dev, found.test)
        )
        room = room_for(train, longest_option(bench.backbone, prompt_of(card, ""), card.options))
        self.introduce(bench, before, task)
        bench.put_on()
        vectors = bench.vectors(scored)
        zero, overlap = self.look(bench, task, train, scored, vectors, room)
        uses = self.choose(bench, train)
        team = self.places(bench, uses)
        used = bench.used(team)
        bench.take_off()
        trained = train_skill(
            bench.backbone,
            name=self.name,
            used=used,
            rows=train,
            stop=stopping,
            settings=self.settings.replace(lora=self.settings.lora.replace(targets=bench.targets)),
            work=self.folder / WORK,
            reporter=self.tell,
            stopper=stop,
        )
        self.spent("learn")
        known = routed_by([*zip(train, found.train, strict=True)], self.settings.seed)
        lesson = bench.lesson([row for row, _ in known], [example for _, example in known])
        bench.add(card, trained, team, lesson)
        bench.put_on()
        own = self.answers(bench, task, bench.routed(scored, self.name), room, texts=True)
        self.spent("score")
        learned = self.learned(bench, task, zero, overlap, uses, trained, own, room)
        scored_rows = kept_of(found.test, own, vectors)
        standing = assess(
            bench,
            before,
            did="update" if self.update else "learn",
            skill=self.name,
            learned={**(before.learned if before else {}), self.name: learned},
            kept={**(before.kept if before else {}), self.name: scored_rows},
            max_drop=self.settings.max_drop,
            seed=self.settings.seed,
        )
        self.spent("assess")
        learned = learned.model_copy(update={"seconds": {**self.seconds, **trained.seconds}})
        held = stored(scored_rows, self.settings)
        standing = without_texts(standing, self.name, scored_rows, held)
        version = self.write(bench, before, card, trained, uses, learned, held, standing)
        return Outcome(version, standing.gate.passed, standing, learned, self.notes)

    def introduce(self, bench: Bench, before: Facts | None, task: NewTask) -> None:
        """Say what is going to be learned, on what."""
        base, lora = bench.base, self.settings.lora
        number = "new" if before is None else f"version {int(before.manifest.version)}"
        layers = ", ".join(bench.endings)
        precision = str(bench.backbone.precision).removeprefix("torch.")
        revision = f"@{base.revision[:7]}" if base.revision else ""
        self.note(
            f"{self.folder}: {number}; base {base.name}{revision}, {precision},"
            f" {bench.backbone.model.device.type}; LoRA rank {lora.rank} on {layers}"
        )
        for line in task.notes:
            self.note(line if line.startswith(self.name) else f"{self.name}: {line}")

    def look(
        self,
        bench: Bench,
        task: NewTask,
        train: Sequence[Row],
        scored: Sequence[Row],
        vectors: Tensor,
        room: int,
    ) -> tuple[float, dict[str, int]]:
        """Score the task before it is learned; return that, and who answers its prompts today."""
        zero = mean_score(self.answers(bench, task, bench.routed(scored, NONE), room))
        often = majority(task)
        self.note(
            f"{self.name}: before learning {100 * zero:.1f} %, most frequent answer"
            f" {100 * often:.1f} %; {told_cost(bench.backbone, train, self.settings)}"
        )
        overlap = Counter(bench.destinations(vectors)) if bench.skills else Counter[str]()
        others = [name for name in overlap if name not in (NONE, self.name)]
        if others:
            told = ", ".join(f"{overlap[name]} to {name}" for name in others)
            self.note(
                f"{self.name}: of {len(scored)} of its prompts, today {told} and"
                f" {overlap[NONE]} to the base model"
            )
        self.spent("before")
        return zero, dict(overlap)

    def choose(self, bench: Bench, train: Sequence[Row]) -> Uses:
        """Choose what the task is learned on top of."""
        uses = choose_uses(
            bench.backbone,
            bench.mixture,
            bench.routes(),
            bench.names,
            train,
            self.settings,
            EvaluateSettings().tokens_per_batch,
        )
        if bench.skills:
            self.note(f"{self.name}: uses {uses.why}")
        self.spent("before")
        return uses

    def places(self, bench: Bench, uses: Uses) -> list[int]:
        """Return the places of the LoRAs of what is used."""
        if bench.mixture is None:
            return []
        places = own_places(bench.mixture, bench.names)
        return [places[name] for name in uses.names]

    def answers(
        self,
        bench: Bench,
        task: NewTask,
        rows: Sequence[Row],
        room: int,
        *,
        texts: bool = False,
    ) -> list[Scored]:
        """Answer rows by their routes, in at most `room` tokens."""
        return score_rows(
            bench.backbone,
            rows,
            task.metric,
            max_new_tokens=room,
            tokens_per_batch=EvaluateSettings().tokens_per_batch,
            texts=texts,
        )

    def learned(
        self,
        bench: Bench,
        task: NewTask,
        zero: float,
        overlap: dict[str, int],
        uses: Uses,
        trained: Trained,
        own: Sequence[Scored],
        room: int,
    ) -> Learned:
        """Put the facts of the new skill together."""
        low, high = mean_interval([each.score for each in own])
        found = task.task
        return Learned(
            task=self.name,
            metric=task.metric,
            rows={"train": len(found.train), "stop": len(found.dev), "kept": len(found.test)},
            duplicates=task.duplicates,
            contradictions=task.contradictions,
            overlap=overlap,
            zero_shot=zero,
            majority=majority(task),
            score=mean_score(own),
            interval=Interval(low=low, high=high),
            uses=uses,
            steps=trained.steps,
            best=trained.best,
            losses=tuple(trained.losses),
            tried=tuple(trained.tried),
            tokens=trained.tokens,
            seconds=self.seconds,
            settings=self.settings.model_dump(mode="json"),
            data=self.data,
            digest=found.digest(),
            room=room,
            environment=environment(bench.backbone),
        )

    def write(
        self,
        bench: Bench,
        before: Facts | None,
        card: TaskCard,
        trained: Trained,
        uses: Uses,
        learned: Learned,
        held: Kept,
        standing: Standing,
    ) -> str:
        """Write the version, and make it the one in use where the gate lets it pass."""
        if before is None:
            draft = Draft.new(
                bench.base,
                targets=bench.targets,
                dtype="float32",
                combine=bench.combine,
                gain=bench.combine == "attention",
                stages=bench.router.settings,
            )
        else:
            draft = Draft.of(self.folder, before.manifest)
        extra = {LEARNED: files.json_bytes(learned.model_dump(mode="json")), **held.files()}
        put = draft.replace if self.update else draft.add
        put(
            card,
            rank=trained.rank,
            alpha=trained.alpha,
            tensors=trained.tensors,
            uses=uses.names,
            extra=extra,
        )
        will_write(self.folder, draft.loras[-1].folder, publish=standing.gate.passed)
        manifest = draft.write(
            self.folder,
            router=bench.router,
            scores=standing.model_dump(mode="json"),
            publish=standing.gate.passed,
        )
        files.discard(self.folder / WORK)
        return manifest.version


def routed_by(rows: Sequence[Known], seed: int) -> Sequence[Known]:
    """Return the train rows that the router learns from, ROUTED at most."""
    return rows if len(rows) <= ROUTED else Random(seed).sample(rows, ROUTED)


def majority(task: NewTask) -> float:
    """Return what the most frequent answer scores on the kept rows."""
    train, scored = ([row.label for row in rows] for rows in (task.task.train, task.task.test))
    return majority_score(train, scored, task.metric)
