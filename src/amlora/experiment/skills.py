"""Keep a run's mixture as a skills folder that `amlora.load` reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amlora.engine.backbone import base_of
from amlora.experiment.prepare import Prepared
from amlora.mixture.io import save_skills
from amlora.mixture.manifest import TaskCard
from amlora.mixture.mixture import Mixture
from amlora.streams.task import Task


def keep_skills(folder: Path, made: Prepared, mixture: Mixture, record: Mapping[str, Any]) -> str:
    """Write the mixture of a finished run; return the version.

    Args:
        folder: the run's skills folder.
        made: the run.
        mixture: what it learned.
        record: its matrix and metrics go into the model card.
    """
    base = base_of(made.backbone)
    wanted = ("R", "entered", "metrics", "boundaries")
    scores = {key: record[key] for key in wanted if key in record}
    cards = [card(task, made) for task in made.stream.tasks]
    return save_skills(folder, mixture, base=base, tasks=cards, scores=scores)


def card(task: Task, made: Prepared) -> TaskCard:
    """Return the words around a task's texts."""
    return TaskCard(
        name=task.name,
        instruction=task.instruction,
        options=task.options,
        cue=task.cue,
        show_options=task.show_options,
        category=task.category,
        dataset=task.dataset,
        prefix=made.settings.stream.prefix,
        form=made.settings.stream.form,
        text_column=task.text_column,
        forms=task.forms,
    )
