"""The stage loop: score, learn stage after stage, score after each; from wherever a run stands."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from accelerate import Accelerator

from amlora import files
from amlora.engine import checkpoint
from amlora.engine.answer import Counts
from amlora.engine.batch import length
from amlora.engine.checkpoint import Checkpoint, Phase, RunProgress
from amlora.engine.train import NonFiniteLoss, StageProgress, train_stage
from amlora.experiment.evaluation import (
    Moment,
    answer_line,
    answers_of,
    measure_general,
    read_seconds,
    ready,
    scored_line,
    to_score,
    with_margin,
)
from amlora.experiment.finish import build_record, write_results
from amlora.experiment.naming import check_same, facts_of
from amlora.experiment.prepare import Prepared
from amlora.experiment.processes import agree, by_main
from amlora.experiment.provenance import environment, measured
from amlora.experiment.reporter import Reporter
from amlora.experiment.settings import to_toml
from amlora.experiment.stop import Interrupted, Stop
from amlora.methods.base import LITTLE, Method, Stage
from amlora.records.beside import Decision
from amlora.records.run import MEASURED, RECORD
from amlora.records.schema import Evaluated, StageFacts


class StageLoop:
    """The state of one run in this process."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        accelerator: Accelerator,
        reporter: Reporter,
        started: float,
    ) -> None:
        self.prepared, self.folder = prepared, folder
        self.accelerator, self.reporter = accelerator, reporter
        self.method, self.stages = prepared.method, prepared.stages
        self.facts = facts_of(prepared.identity)
        self.config = to_toml(prepared.written)
        self.environment = environment(accelerator)
        self.progress = RunProgress(environments=[self.environment])
        self.stop = Stop()
        self.read_seconds: float | None = None  # of a token, in a bare forward pass
        self.clock = started
        self.spent("load")

    def spent(self, phase: str) -> None:
        """Book the time since the last call on a phase."""
        now = time.perf_counter()
        seconds = self.progress.seconds
        seconds[phase] = seconds.get(phase, 0.0) + now - self.clock
        self.clock = now

    def run(self) -> None:
        """Go from wherever the run stands to its end."""
        with self.stop.listening(self.reporter.note):
            first, phase, within = self.pick_up()
            if first == 0 and phase == "begin" and not self.progress.R:
                self.score("before", -1)
                self.measure_general(-1)
                self.keep(0, "begin", StageProgress())
            for stage in self.stages[first:]:
                if phase == "begin":
                    self.method.begin(stage)
                    self.spent("begin")
                    if self.method.begin_changes_answers(stage):
                        self.score("entered", stage.index)
                    within = StageProgress()
                    self.keep(stage.index, "train", within)
                remarks = self.learn(stage, within)
                phase = "begin"
                self.method.end(stage)
                self.score("learned", stage.index)
                if stage is self.stages[-1]:
                    self.measure_general(stage.index)
                self.close_stage(stage, within, remarks)
                self.keep(stage.index + 1, "begin", StageProgress())
            by_main(self.accelerator, self.finish)

    def pick_up(self) -> tuple[int, Phase, StageProgress]:
        """Take a checkpoint's state, if there is one; return the stage, its phase and progress."""
        by_main(self.accelerator, self.set_up)
        place = self.folder / "checkpoint"
        found = checkpoint.load(place)
        agree(
            self.accelerator,
            found and (found.stage, found.phase, found.within.step),
            f"{self.folder}: its checkpoint is not the same for all processes; they must share it.",
        )
        if found is None:
            return 0, "begin", StageProgress()
        check_same(self.folder, found.facts, self.facts)
        with checkpoint.blamed(place):
            steps = [stage.steps for stage in self.stages]
            checkpoint.check_place(place, found, steps, len(self.prepared.scored))
            build_record(self.prepared.identity, found.progress)
            if found.phase == "train":
                self.method.resume(found.state, self.stages[found.stage])
            elif found.stage:
                self.method.restore(found.state)
        if found.environment != self.environment:
            other = ", ".join(
                f"{name} {value} (was {found.environment.get(name)})"
                for name, value in self.environment.items()
                if found.environment.get(name) != value
            )
            self.reporter.warn(
                f"{self.folder}: goes on with {other}; its record may differ in the last bits, and"
                " measured.json says so."
            )
        loading = self.progress.seconds["load"]
        self.progress = found.progress
        self.progress.seconds["load"] = loading + self.progress.seconds.get("load", 0.0)
        if self.environment not in self.progress.environments:
            self.progress.environments.append(self.environment)
        step = found.within.step
        self.reporter.note(f"{self.folder}: goes on at task {found.stage + 1}, step {step}.")
        self.clock = time.perf_counter()
        return found.stage, found.phase, found.within

    def set_up(self) -> None:
        """Make the folder ready for writing."""
        files.sweep(self.folder)
        files.write_text(self.folder / "config.toml", self.config)

    def score(self, phase: Moment, index: int) -> None:
        """Score the tasks of this moment and add a row to R, or to `entered`.

        A moment without any task leaves a row of R that is empty, and none in `entered`.
        """
        prepared, progress = self.prepared, self.progress
        row: list[float | None] = [None] * len(prepared.scored)
        tasks = to_score(prepared.settings.evaluate.scope, phase, index, prepared.course)
        if not tasks:
            if phase != "entered":
                progress.R.append(row)
            return
        counts, begun = Counts(), time.perf_counter()
        lines: list[Decision] = []
        total = sum(len(prepared.scored[j]) for j in tasks)
        done, reading = 0, 0.0
        names = [stage.task for stage in self.stages]
        evaluate = with_margin(prepared, (ready(prepared, j) for j in tasks))
        for j in tasks:
            rows = ready(prepared, j)
            answers, counted = answers_of(prepared.backbone, self.accelerator, rows, evaluate)
            if self.read_seconds is None:
                self.read_seconds = read_seconds(prepared.backbone, rows)
            read = sum(map(length, rows)) * self.read_seconds
            reading += read / self.accelerator.num_processes  # each has its share
            counts += counted
            row[j] = sum(answer.hit for answer in answers) / len(answers)
            lines += [
                answer_line(phase, index, answer, gold, names)
                for answer, gold in zip(answers, rows, strict=True)
            ]
            done += len(rows)
            self.reporter.evaluated(done, total, prepared.stream.tasks[j].name)
            if self.stop.anywhere(self.accelerator):
                raise Interrupted(self.folder)
        (progress.entered if phase == "entered" else progress.R).append(row)
        progress.evaluation.append(Evaluated(after=index, phase=phase, **asdict(counts)))
        self.reporter.note(scored_line(counts, time.perf_counter() - begun, reading))
        self.keep_rows(lines)
        self.spent("evaluate")
        progress.scored_rows += total
        progress.prefill_seconds += reading

    def measure_general(self, after: int) -> None:
        """Measure texts and questions of no task, where the settings ask for it."""
        if general := self.prepared.general:
            found = measure_general(self.prepared, general, self.accelerator, after)
            self.progress.general.append(found)
            self.spent("general")

    def learn(self, stage: Stage, within: StageProgress) -> list[str]:
        """Train a stage from where it stands; return what of it did next to nothing."""
        self.reporter.stage_started(stage.index + 1, len(self.stages), stage.task, stage.steps)
        remarks = nothing_kept(self.method, stage)
        for line in remarks:
            self.reporter.warn(f"{stage.task}: {line}")
        train = self.prepared.settings.train
        begun, before = time.perf_counter(), within.tokens

        def done(state: StageProgress, terms: dict[str, float]) -> None:
            speed = (state.tokens - before) / (time.perf_counter() - begun)
            self.reporter.step(state.step, stage.steps, terms, speed)
            self.log(stage.index, state, terms)
            # Also at the last step: the evaluation that follows may be stopped.
            regular = train.checkpoint_every and state.step % train.checkpoint_every == 0
            stopping = self.stop.anywhere(self.accelerator)
            if regular or state.step == stage.steps or stopping:
                self.spent("train")
                self.keep(stage.index, "train", state)
                self.spent("save")
            if stopping:
                raise Interrupted(self.folder)

        try:
            train_stage(self.method, stage, train, self.accelerator, within, done)
        except NonFiniteLoss:
            self.keep(stage.index, "train", within)
            raise
        within.moments = {}  # twice the trained weights, which evaluation has no use for
        self.spent("train")
        ended = [*weak_terms(means(within)), *self.method.remarks(stage)]
        for line in ended:
            self.reporter.warn(f"{stage.task}: {line}")
        return [*remarks, *ended]

    def log(self, index: int, state: StageProgress, terms: dict[str, float]) -> None:
        """Write a step to the log and the trackers."""
        if self.accelerator.is_main_process:
            event = {"event": "step", "stage": index, "step": state.step, "terms": terms}
            files.append_line(self.folder / "log.jsonl", files.line(event))
        overall = state.step + sum(stage.steps for stage in self.stages[:index])
        self.accelerator.log({f"loss/{name}": value for name, value in terms.items()}, step=overall)

    def close_stage(self, stage: Stage, within: StageProgress, remarks: list[str]) -> None:
        """Book what a finished stage did."""
        self.progress.stages.append(
            StageFacts(
                task=stage.task,
                steps=within.step,
                rows=len(stage.rows),
                tokens=within.tokens,
                trainable_parameters=self.progress.trainable,
                stored_parameters=self.method.stored_parameters(),
                stored_examples=len(self.method.stored_examples()),
                losses=tuple(tenths(within.losses)),
                terms=means(within),
                remarks=tuple(remarks),
            )
        )
        self.reporter.stage_finished(build_record(self.prepared.identity, self.progress))

    def keep(self, stage: int, phase: Phase, within: StageProgress) -> None:
        """Write a checkpoint."""
        if phase == "train":
            groups = self.method.parameters()
            self.progress.trainable = sum(w.numel() for g in groups for w in g.parameters)

        def save() -> None:
            state = self.method.state()
            point = Checkpoint(
                stage=stage,
                phase=phase,
                values=state.values,
                tensors=state.tensors,
                progress=self.progress,
                within=within,
                environment=self.environment,
                facts=self.facts,
            )
            checkpoint.save(self.folder / "checkpoint", point)

        by_main(self.accelerator, save)

    def keep_rows(self, lines: list[Decision]) -> None:
        """Write one evaluation's rows to a file of their own, named by its place in the run."""
        text = "".join(files.line(line.plain()) + "\n" for line in lines)
        rows, folder = self.progress.rows, self.folder / "checkpoint"
        number = len(rows) + 1
        rows.append(by_main(self.accelerator, lambda: checkpoint.write_rows(folder, number, text)))

    def finish(self) -> None:
        """Write all results; the record comes last and says that the run is finished."""
        record = write_results(self.folder, self.prepared, self.progress, self.config)
        self.spent("save")
        found = measured(self.progress, self.accelerator.device)
        files.write_json(self.folder / MEASURED, found.model_dump(mode="json"))
        files.write_sealed(self.folder / RECORD, record.model_dump(mode="json"))
        files.discard(self.folder / "checkpoint")


def means(within: StageProgress) -> dict[str, float]:
    """Return each loss term's mean over a stage's steps; a step without a term counts as 0."""
    return {name: total / within.step for name, total in within.terms.items()}


def weak_terms(terms: Mapping[str, float]) -> list[str]:
    """Name the terms, means by name, that are a small part of "task", the task's loss."""
    task = abs(terms.get("task", 0.0))
    return [
        f"the term {name!r} was {100 * abs(mean) / task:.2g} % of the task's loss, so it did next"
        " to nothing."
        for name, mean in terms.items()
        if name != "task" and abs(mean) < LITTLE * task
    ]


def nothing_kept(method: Method, stage: Stage) -> list[str]:
    """Say so where a method that learns old examples again has none at a later stage's start."""
    if stage.index and method.stores_examples and not method.stored_examples():
        return ["no example of an earlier task was kept, so none is learned again."]
    return []


def tenths(values: Sequence[float]) -> list[float]:
    """Return the mean of each tenth of a list, of each value where there are fewer than ten."""
    parts = min(10, len(values))
    edges = [len(values) * i // parts for i in range(parts + 1)] if parts else []
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
