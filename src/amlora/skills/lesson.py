"""What a skill is learned from and on top of, and where its training stands on the disk.

By the sum of all LoRAs the method is IncLoRA. By attention it is AM-LoRA with a gain of the number
of LoRAs, so that a new one can act at full strength, and let in slowly; without the L1 term, which
is for many LoRAs that nobody chose, while what is used here was chosen.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from amlora import files
from amlora.engine import checkpoint
from amlora.engine.backbone import Backbone
from amlora.engine.checkpoint import Checkpoint
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.experiment.reporter import Reporter
from amlora.experiment.stop import Stop
from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from amlora.methods.inc_lora import IncLoRA
from amlora.methods.lora import LoRAMethod, OneLoRASettings
from amlora.mixture.inject import remove
from amlora.mixture.mixture import Mixture
from amlora.skills.settings import LearnSettings

VERSION = 1
"""Raised when the same settings would give other weights; a part of a checkpoint's facts."""
DECISIVE = ("lora", "combine", "lr", "batch", "epochs", "train_tokens", "steps", "patience", "tune")
"""With the seed, the settings that a skill's weights follow from."""


@dataclass(frozen=True, kw_only=True)
class Used:
    """The LoRAs that a skill is learned on top of, oldest first."""

    names: list[str] = field(default_factory=list[str])
    ranks: list[int] = field(default_factory=list[int])
    alphas: list[float] = field(default_factory=list[float])
    tensors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """"<layer>.a" (their ranks added up, D_in) and "<layer>.b" (the same, D_out); where skills
    combine by attention "<layer>.w" (LoRAs, D_out), each one's own selector."""

    @classmethod
    def of(cls, mixture: Mixture, places: Sequence[int]) -> "Used":
        """Take some LoRAs out of a mixture, as copies on the CPU, in the order of `places`."""
        ranks, alphas = mixture.shapes()
        tensors: dict[str, Tensor] = {}
        for name, layer in mixture.layers.items():
            a, b, w = (stack.detach().cpu() for stack in layer.bank.stacks())
            rows = [layer.bank.rows(place) for place in places]
            tensors[f"{name}.a"] = torch.cat([a[:0], *(a[own] for own in rows)])
            tensors[f"{name}.b"] = torch.cat([b[:0], *(b[own] for own in rows)])
            tensors[f"{name}.w"] = w[list(places)]
        return cls(
            names=[mixture.names[place] for place in places],
            ranks=[ranks[place] for place in places],
            alphas=[alphas[place] for place in places],
            tensors=tensors,
        )

    def digest(self) -> str:
        """Return the sha256 of all of it."""
        data = files.tensor_bytes(self.tensors, {})
        return files.digest([self.names, self.ranks, self.alphas, files.sha256_bytes(data)])


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learned, and where work is kept meanwhile."""

    backbone: Backbone
    name: str
    used: Used
    rows: Sequence[Row]
    stop: Sequence[Row]
    """Those that are looked at."""
    settings: LearnSettings
    folder: Path
    """Of the checkpoint."""
    facts: dict[str, Any]
    environment: dict[str, Any]
    accelerator: Accelerator
    reporter: Reporter
    stopper: Stop


def pick_up(lesson: Lesson) -> Checkpoint | None:
    """Return the checkpoint of this lesson; another's, or a damaged one, is removed, and said."""
    folder, why = lesson.folder, ""
    files.sweep(folder.parent)
    try:
        found = checkpoint.load(folder)
    except InputError as error:
        found, why = None, f"it is damaged: {error}"
    if found is not None:
        names = [*lesson.facts, *(found.facts.keys() - lesson.facts.keys())]
        other = [each for each in names if found.facts.get(each) != lesson.facts.get(each)]
        why = f"it is of another training: {', '.join(other)}" if other else ""
    if why:
        files.discard(folder)
        lesson.reporter.note(f"{lesson.name}: starts over; the checkpoint is not used: {why}")
        return None
    if found is not None:
        changed = [
            f"{name} {value} (was {found.environment.get(name)})"
            for name, value in lesson.environment.items()
            if found.environment.get(name) != value
        ]
        step = found.within.step
        lesson.reporter.note(f"{lesson.name}: goes on at step {step}.")
        if changed:
            lesson.reporter.warn(
                f"{lesson.name}: goes on with {', '.join(changed)}; the last bits may differ."
            )
    return found


def facts_of(
    backbone: Backbone,
    name: str,
    used: Used,
    rows: Sequence[Row],
    stop: Sequence[Row],
    settings: LearnSettings,
) -> dict[str, Any]:
    """Return what decides a skill's weights beside versions and machine, by words for it."""
    chosen = settings.model_dump(mode="json")
    ids = [[[row.prompt_ids, row.answer_ids] for row in part] for part in (rows, stop)]
    return {
        **{f"setting {name}": chosen[name] for name in (*DECISIVE, "seed")},
        "the version of training": VERSION,
        "the skill": name,
        "the model's weights": backbone.fingerprint,
        "the arithmetic": [str(backbone.precision), backbone.model.device.type],
        "the rows": files.digest(ids),
        "what it uses": used.digest(),
    }


@contextmanager
def method_of(lesson: Lesson) -> Generator[LoRAMethod]:
    """Put the method's mixture, with what is used in it, into the model; take it out at the end."""
    backbone, used, lora = lesson.backbone, lesson.used, lesson.settings.lora
    model, training, seed = backbone.model, backbone.model.training, lesson.settings.seed
    if lesson.settings.combine == "sum":
        method: LoRAMethod = IncLoRA(backbone, OneLoRASettings(lora=lora), seed=seed)
    else:
        how = AMLoRASettings(lora=lora, sparsity=0.0, newcomer="ramp", gain="loras")
        method = AMLoRA(backbone, how, seed=seed)
    try:
        put_in(method.mixture, used)
        yield method
    finally:
        remove(model, method.mixture)
        model.train(training)


def put_in(mixture: Mixture, used: Used) -> None:
    """Put what is used into a new mixture; an InputError where it does not fit."""
    if not used.names:
        return
    known = {name.rpartition(".")[0] for name in used.tensors}
    if other := sorted(known ^ mixture.layers.keys()):
        raise InputError(
            f"lora.targets: {other[0]} is adapted by the new skill or by what it uses, but not by"
            " both; the skills of one folder adapt the same layers."
        )
    tensors = dict(used.tensors)
    for name, layer in mixture.layers.items():
        width = layer.bank.w.shape[1]
        tensors.setdefault(f"{name}.w", torch.zeros(len(used.names), width))
    mixture.restore(used.names, used.ranks, used.alphas, tensors)
