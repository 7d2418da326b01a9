"""What a run leaves: its record, and beside it rows, attention, the method's texts, skills.

A record holds results and what decides them, and nothing that differs between two equal runs.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from amlora import files
from amlora.engine import checkpoint
from amlora.engine.attention import attention
from amlora.engine.backbone import base_of
from amlora.engine.checkpoint import RunProgress
from amlora.errors import InputError
from amlora.evaluate.metrics import summary
from amlora.experiment.evaluation import routing
from amlora.experiment.prepare import Prepared
from amlora.mixture.manifest import TaskCard
from amlora.mixture.mixture import Mixture
from amlora.mixture.save import save_skills
from amlora.records.run import ATTENTION, ROWS
from amlora.records.schema import Identity, Metrics, Record
from amlora.settings import refusal
from amlora.streams.prompt import Form, Prefix
from amlora.streams.task import Task


def write_results(folder: Path, prepared: Prepared, progress: RunProgress, config: str) -> Record:
    """Write all results of a finished run but its record, and return the record.

    `config` is the text of config.toml.
    """
    method = prepared.method
    rows = checkpoint.read_rows(folder / "checkpoint", progress.rows)
    files.write_bytes(folder / ROWS, rows)
    texts = method.texts()
    for name, text in texts.items():
        files.write_text(folder / name, text)
    record = build_record(
        prepared.identity,
        progress,
        texts={name: files.sha256_bytes(text.encode()) for name, text in texts.items()},
        rows_digest=files.sha256_bytes(rows),
        attention_digest=write_attention(folder / ATTENTION, prepared),
        config_digest=files.sha256_bytes(config.encode()),
        routing=routing(rows, [stage.task for stage in prepared.stages]),
    )
    if method.mixture:
        # A version that a killed process left could not be told from an older one.
        files.discard(folder / "skills")
        version = keep_skills(folder / "skills", prepared, method.mixture, record)
        manifest = folder / "skills" / "versions" / version / "manifest.json"
        return record.model_copy(update={"skills_digest": files.sha256_file(manifest)})
    return record


def build_record(identity: Identity, progress: RunProgress, **beside: Any) -> Record:
    """Put a record together; a finished run knows digests and `routing` besides.

    Raises:
        InputError: it does not fit together, as after a checkpoint that somebody changed.
    """
    found, sizes = identity.boundaries, [task.scored for task in identity.tasks]
    metrics = summary(progress.R, sizes, found.course if found else None)
    record = {
        **dict(identity),
        "R": progress.R,
        "entered": progress.entered,
        "stages": progress.stages,
        "metrics": Metrics.model_validate(metrics),
        "evaluation": progress.evaluation,
        "general": progress.general,
        "rows_digest": None,
        **beside,
    }
    try:
        return Record.model_validate(record)
    except ValidationError as error:
        raise InputError(f"the record so far: {refusal(error, Record)}") from None


def write_attention(path: Path, prepared: Prepared) -> str | None:
    """Write which LoRAs a mixture uses, and return the file's sha256; None where there is none."""
    method, most = prepared.method, prepared.settings.evaluate.attention_rows
    if not method.mixture:
        return None
    names = [task.name for task in prepared.stream.tasks]
    read = [method.readable(rows[:most], scoring=True) for rows in prepared.scored]
    tasks = list(zip(names, read, strict=True))
    found = attention(prepared.backbone, method.mixture, tasks, rows_per_task=most)
    files.write_json(path, found.model_dump(mode="json"))
    return files.sha256_file(path)


def keep_skills(folder: Path, prepared: Prepared, mixture: Mixture, record: Record) -> str:
    """Write a run's mixture as skills that `amlora.load` reads; return the version."""
    wanted = {"R", "entered", "metrics"} | ({"boundaries"} if record.boundaries else set())
    scores = record.model_dump(mode="json", include=wanted)
    words = prepared.settings.stream
    cards = [card_of(t, prefix=words.prefix, form=words.form) for t in prepared.stream.tasks]
    base = base_of(prepared.backbone)
    return save_skills(folder, mixture, base=base, tasks=cards, scores=scores)


def card_of(task: Task, *, prefix: Prefix = "off", form: Form = "full") -> TaskCard:
    """Return the words around a task's texts."""
    return TaskCard(
        name=task.name,
        instruction=task.instruction,
        options=task.options,
        cue=task.cue,
        show_options=task.show_options,
        category=task.category,
        dataset=task.dataset,
        prefix=prefix,
        form=form,
        text_column=task.text_column,
        forms=task.forms,
    )
