"""The state of one run: where it stands, what it wrote, what is left to do."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from amlora import files
from amlora.engine import checkpoint
from amlora.engine.answer import Counts
from amlora.engine.attention import attention
from amlora.engine.checkpoint import Checkpoint, Phase
from amlora.engine.train import NonFiniteLoss, StageProgress, train_stage
from amlora.experiment.evaluation import (
    Evaluation,
    Moment,
    answer_line,
    routing,
    scored_line,
    to_score,
)
from amlora.experiment.prepare import Prepared
from amlora.experiment.processes import agree, by_main
from amlora.experiment.provenance import environment, measured
from amlora.experiment.record import RECORD, build_record, tenths
from amlora.experiment.reporter import Reporter
from amlora.experiment.settings import to_toml
from amlora.experiment.skills import keep_skills
from amlora.experiment.stop import Interrupted, Stop
from amlora.methods.base import LITTLE, Method, Stage


class StageLoop:
    """The state of one run in this process."""

    def __init__(
        self,
        made: Prepared,
        folder: Path,
        accelerator: Accelerator,
        told: Reporter,
        started: float,
    ) -> None:
        self.made, self.folder, self.accelerator, self.told = made, folder, accelerator, told
        self.method, self.backbone, self.stages = made.method, made.backbone, made.stages
        self.stage_names = [stage.task for stage in made.stages]
        self.config = to_toml(made.settings)
        self.every = made.settings.train.checkpoint_every
        self.environment = environment(accelerator)
        self.so_far: dict[str, Any] = fresh_progress(self.environment)
        self.stop = Stop()
        self.evaluation = Evaluation(made, accelerator)
        self.clock = started
        self.spent("load")

    def spent(self, phase: str) -> None:
        """Book the time since the last call on a phase."""
        now = time.perf_counter()
        seconds = self.so_far["seconds"]
        seconds[phase] = seconds.get(phase, 0.0) + now - self.clock
        self.clock = now

    def run(self) -> None:
        """Go from wherever the run stands to its end."""
        with self.stop.listening(self.told.note):
            first, phase, progress = self.pick_up()
            if first == 0 and phase == "begin" and not self.so_far["R"]:
                self.score("before", -1)
                self.measure_general(-1)
                self.keep(0, "begin", StageProgress())
            for stage in self.stages[first:]:
                if phase == "begin":
                    self.method.begin(stage)
                    self.spent("begin")
                    self.score_newcomer(stage.index)
                    progress = StageProgress()
                    self.keep(stage.index, "train", progress)
                remarks = self.learn(stage.index, progress)
                phase = "begin"
                self.method.end(stage)
                self.score("learned", stage.index)
                if stage is self.stages[-1]:
                    self.measure_general(stage.index)
                self.close_stage(stage.index, progress, remarks)
                self.keep(stage.index + 1, "begin", StageProgress())
            by_main(self.accelerator, self.finish)

    def pick_up(self) -> tuple[int, Phase, StageProgress]:
        """Take a checkpoint's state, if there is one; return the stage, its phase and progress."""
        by_main(self.accelerator, self.set_up)
        place = self.folder / "checkpoint"
        found = checkpoint.load(place)
        agree(
            self.accelerator,
            found and (found.stage, found.phase, found.progress["stage"]["step"]),
            f"{self.folder}: its checkpoint is not the same for all processes; they must share it.",
        )
        if found is None:
            return 0, "begin", StageProgress()
        with checkpoint.blamed(place):
            steps = [stage.steps for stage in self.stages]
            checkpoint.check_place(place, found, steps, len(self.made.scored))
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
            self.told.warn(
                f"{self.folder}: goes on with {other}; its record may differ in the last bits, and"
                " measured.json says so."
            )
        loading = self.so_far["seconds"]["load"]
        self.so_far = found.progress
        self.so_far["seconds"]["load"] = loading + self.so_far["seconds"].get("load", 0.0)
        if self.environment not in self.so_far["environments"]:
            self.so_far["environments"].append(self.environment)
        within = self.so_far.pop("stage")
        progress = StageProgress(
            step=within["step"],
            losses=within["losses"],
            tokens=within["tokens"],
            terms=within["terms"],
            moments=found.moments,
        )
        self.told.note(f"{self.folder}: goes on at task {found.stage + 1}, step {progress.step}.")
        self.clock = time.perf_counter()
        return found.stage, found.phase, progress

    def set_up(self) -> None:
        """Make the folder ready for writing."""
        files.sweep(self.folder)
        files.write_text(self.folder / "config.toml", self.config)

    def score_newcomer(self, index: int) -> None:
        """Score earlier tasks when a newcomer has entered and not yet learned."""
        if self.method.begin_changes_answers(self.stages[index]):
            self.score("entered", index)

    def score(self, phase: Moment, index: int) -> None:
        """Score the tasks of this moment and add a row to R, or to `entered`.

        A moment without any task leaves a row of R that is empty, and none in `entered`.
        """
        count = len(self.made.scored)
        tasks = to_score(self.made.settings.evaluate.scope, phase, index, self.made.course)
        if not tasks:
            if phase != "entered":
                self.so_far["R"].append([None] * count)
            return
        row: list[float | None] = [None] * count
        counts, begun = Counts(), time.perf_counter()
        lines: list[dict[str, Any]] = []
        total = sum(len(self.made.scored[j]) for j in tasks)
        done, reading = 0, 0.0
        evaluate = self.evaluation.with_margin(self.evaluation.ready(j) for j in tasks)
        for j in tasks:
            rows = self.evaluation.ready(j)
            task = self.made.stream.tasks[j].name
            answers, counted = self.evaluation.answers(rows, evaluate)
            reading += self.evaluation.reading(rows)
            counts += counted
            row[j] = sum(answer.hit for answer in answers) / len(answers)
            lines += [
                answer_line(phase, index, answer, gold, self.stage_names)
                for answer, gold in zip(answers, rows, strict=True)
            ]
            done += len(rows)
            self.told.evaluated(done, total, task)
            if self.stop.anywhere(self.accelerator):
                raise Interrupted(self.folder)
        self.so_far["entered" if phase == "entered" else "R"].append(row)
        self.so_far["evaluation"].append({"after": index, "phase": phase, **counts.kinds()})
        self.told.note(scored_line(counts, time.perf_counter() - begun, reading))
        self.keep_rows(lines)
        self.spent("evaluate")
        self.so_far["scored_rows"] += total
        self.so_far["prefill_seconds"] += reading

    def measure_general(self, after: int) -> None:
        """Measure texts and questions of no task, where the settings ask for it."""
        if self.made.general is not None:
            measured = self.evaluation.unrelated(self.made.general, after)
            self.so_far.setdefault("general", []).append(measured)
            self.spent("general")

    def learn(self, index: int, progress: StageProgress) -> list[str]:
        """Train a stage from where it stands; return what of it did next to nothing."""
        stage = self.stages[index]
        self.told.stage_started(index + 1, len(self.stages), stage.task, stage.steps)
        remarks = nothing_kept(self.method, stage)
        for line in remarks:
            self.told.warn(f"{stage.task}: {line}")
        begun, before = time.perf_counter(), progress.tokens

        def done(state: StageProgress, terms: dict[str, float]) -> None:
            speed = (state.tokens - before) / (time.perf_counter() - begun)
            self.told.step(state.step, stage.steps, terms, speed)
            self.log(stage.index, state, terms)
            # Also at the last step: the evaluation that follows may be stopped.
            regular = self.every and state.step % self.every == 0
            stopping = self.stop.anywhere(self.accelerator)
            if regular or state.step == stage.steps or stopping:
                self.spent("train")
                self.keep(index, "train", state)
                self.spent("save")
            if stopping:
                raise Interrupted(self.folder)

        try:
            train_stage(
                self.method, stage, self.made.settings.train, self.accelerator, progress, done
            )
        except NonFiniteLoss:
            self.keep(index, "train", progress)
            raise
        progress.moments = {}  # twice the trained weights, which evaluation has no use for
        self.spent("train")
        ended = [*weak_terms(means(progress)), *self.method.remarks(stage)]
        for line in ended:
            self.told.warn(f"{stage.task}: {line}")
        return [*remarks, *ended]

    def log(self, index: int, state: StageProgress, terms: dict[str, float]) -> None:
        """Write a step to the log and the trackers."""
        if self.accelerator.is_main_process:
            event = {"event": "step", "stage": index, "step": state.step, "terms": terms}
            files.append_line(self.folder / "log.jsonl", files.line(event))
        overall = state.step + sum(stage.steps for stage in self.stages[:index])
        self.accelerator.log({f"loss/{name}": value for name, value in terms.items()}, step=overall)

    def close_stage(self, index: int, progress: StageProgress, remarks: list[str]) -> None:
        """Book what a finished stage did."""
        stage = self.stages[index]
        self.so_far["stages"].append(
            {
                "task": stage.task,
                "steps": progress.step,
                "rows": len(stage.rows),
                "tokens": progress.tokens,
                "trainable_parameters": self.so_far["trainable"],
                "stored_parameters": self.method.stored_parameters(),
                "stored_examples": len(self.method.stored_examples()),
                "losses": tenths(progress.losses),
                "terms": means(progress),
                "remarks": remarks,
            }
        )
        self.told.stage_finished(
            build_record(
                identity=self.made.identity,
                stream=self.made.stream,
                lost=self.made.lost,
                progress=self.so_far,
            )
        )

    def keep(self, stage: int, phase: Phase, progress: StageProgress) -> None:
        """Write a checkpoint."""
        if phase == "train":
            groups = self.method.parameters()
            self.so_far["trainable"] = sum(w.numel() for g in groups for w in g.parameters)
        within = {
            "step": progress.step,
            "losses": progress.losses,
            "tokens": progress.tokens,
            "terms": progress.terms,
        }

        def save() -> None:
            saved = Checkpoint(
                stage=stage,
                phase=phase,
                state=self.method.state(),
                moments=progress.moments,
                progress={**self.so_far, "stage": within},
                environment=self.environment,
            )
            checkpoint.save(self.folder / "checkpoint", saved)

        by_main(self.accelerator, save)

    def keep_rows(self, lines: list[dict[str, Any]]) -> None:
        """Write one evaluation's rows to a file of their own, named by its place in the run."""
        text = "".join(files.line(line) + "\n" for line in lines)
        rows, folder = self.so_far["rows"], self.folder / "checkpoint"
        number = len(rows) + 1
        rows.append(by_main(self.accelerator, lambda: checkpoint.write_rows(folder, number, text)))

    def finish(self) -> None:
        """Write all results; the record comes last and says that the run is finished."""
        method, folder = self.method, self.folder
        rows = checkpoint.read_rows(folder / "checkpoint", self.so_far["rows"])
        files.write_bytes(folder / "rows.jsonl", rows)
        digest = None
        if method.mixture:
            names = [task.name for task in self.made.stream.tasks]
            most = self.made.settings.evaluate.attention_rows
            read = [method.readable(rows[:most]) for rows in self.made.scored]
            found = attention(
                self.backbone,
                method.mixture,
                list(zip(names, read, strict=True)),
                rows_per_task=most,
            )
            files.write_json(folder / "attention.json", found)
            digest = files.sha256_file(folder / "attention.json")
        texts = method.texts()
        for name, text in texts.items():
            files.write_text(folder / name, text)
        record = build_record(
            identity=self.made.identity,
            stream=self.made.stream,
            lost=self.made.lost,
            progress=self.so_far,
            texts={name: files.sha256_bytes(text.encode()) for name, text in texts.items()},
            rows_digest=files.sha256_bytes(rows),
            attention_digest=digest,
            config_digest=files.sha256_bytes(self.config.encode()),
            routing=routing(rows, self.stage_names),
        )
        if method.mixture:
            # A version that a killed process left could not be told from an older one.
            files.discard(folder / "skills")
            version = keep_skills(folder / "skills", self.made, method.mixture, record)
            manifest = folder / "skills" / "versions" / version / "manifest.json"
            record["skills_digest"] = files.sha256_file(manifest)
        self.spent("save")
        files.write_json(folder / "measured.json", measured(self.so_far, self.accelerator))
        files.write_sealed(folder / RECORD, record)
        files.discard(folder / "checkpoint")


def fresh_progress(environment: dict[str, Any]) -> dict[str, Any]:
    """Return the plain values of a run that has not begun."""
    return {
        "R": [],
        "entered": [],
        "stages": [],
        "evaluation": [],
        "rows": [],
        "seconds": {},
        "scored_rows": 0,
        "prefill_seconds": 0.0,
        "trainable": 0,
        "environments": [environment],
    }


def means(progress: StageProgress) -> dict[str, float]:
    """Return each loss term's mean over a stage's steps; a step without a term counts as 0."""
    return {name: total / progress.step for name, total in progress.terms.items()}


def weak_terms(terms: Mapping[str, float]) -> list[str]:
    """Name the terms that are a small part of the task's loss.

    Args:
        terms: means by name; "task" is the task's loss.
    """
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
