"""LFPT5: one soft prompt that answers, and writes examples of earlier tasks (Qin & Joty 2022).

The model is frozen. One prompt serves all tasks and is carried from each to the next. It learns to
answer a task's rows and, at the same time, to write its texts given their labels. Before the next
task it writes a few examples of every earlier one; they are learned along with the new rows, and a
distillation term holds the prompt, on them, to what it answered before.

    loss = task + lm_weight * lm + kd_weight * KL(former prompt || prompt)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from amlora import files
from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, Batch, collate, seed_of, target_logits, token_loss
from amlora.engine.encode import Row, encode_rows
from amlora.errors import InputError
from amlora.methods.base import Method, ParameterGroup, Stage, Terms
from amlora.methods.parts.memory import Memory
from amlora.methods.parts.prompts import add_prompts, behind, check_positions, from_vocabulary
from amlora.methods.parts.pseudo import PseudoSettings, make_texts, report, text_rows, words_of
from amlora.settings import Settings
from amlora.streams.task import Example, Task


class LFPT5Settings(Settings):
    """The prompt, the weights of the terms, and the pseudo examples."""

    length: PositiveInt = 100
    """Soft vectors behind each input: Lester et al. 2021 and the original's code; its runs, 300."""
    lr: PositiveFloat | None = None
    """The prompt's learning rate; None for train.lr (the original: 0.5, with Adafactor)."""
    lm_weight: PositiveFloat = 0.25
    """Weight of learning to write the texts (the original: 0.25)."""
    kd_weight: NonNegativeFloat = 0.01
    """Weight of the distillation (the original's runs: 0.01); 0 for none."""
    ratio: Annotated[float, Field(gt=0, le=100)] = 0.25
    """Pseudo examples that each step reads on top of its new rows, per new row; at least one. Ours:
    the original shuffles them into the new task's rows."""
    pseudo: PseudoSettings = PseudoSettings()
    """How pseudo examples are made."""


class LFPT5(Method):
    """Generative replay with prompt tuning: nothing of a task's data outlives its stage."""

    stores_examples = True
    makes_examples_up = True
    Settings = LFPT5Settings
    settings: LFPT5Settings

    def __init__(self, backbone: Backbone, settings: LFPT5Settings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.embedding = add_prompts(backbone)
        self.embedding.vectors = self.vectors
        shape = self.settings.length, self.embedding.weight.shape[1]
        self.prompt: Tensor | None = None  # (P, D), from the first `begin` on
        self.former: Tensor | None = None  # the prompt before this task: the teacher
        self.learned: list[Task] = []  # the words around earlier tasks' texts
        self.told: list[dict[str, Any]] = []  # lines of pseudo.jsonl
        self.memory = Memory(backbone)  # this stage's pseudo examples, asked for their labels
        self.keep_tensors("prompt", shape)
        self.keep_tensors("former", shape, optional=True)
        self.keep_value("learned", list[Task])
        self.keep_value("told", list[dict[str, Any]])
        self.keep(self.memory)
        self.made_up: frozenset[tuple[str, str]] = frozenset()  # its rows, by task and row
        self.texts_of: dict[tuple[str, str], Row] = {}  # rows that write a text, likewise
        self.lm_share = 0.0  # 1 / targets of the step's texts
        self.kd_share = 0.0  # 1 / targets of the step's pseudo examples, texts included

    def vectors(self) -> Tensor:
        """Return the prompt; no vector before the first task."""
        return self.embedding.weight[:0] if self.prompt is None else self.prompt

    def soft_ids(self) -> range:
        """Return the ids of the soft vectors."""
        return range(self.embedding.first, self.embedding.first + len(self.vectors()))

    def begin(self, stage: Stage) -> None:
        """Start the prompt at the first task; later, write examples of the earlier ones."""
        if self.prompt is None:
            generator = torch.Generator().manual_seed(seed_of(self.seed, stage.index, "prompt"))
            self.prompt = from_vocabulary(self.embedding, self.settings.length, generator)
        if self.learned:
            self.write(stage)
            self.former = self.prompt.detach().clone()
        self.open(stage)

    def write(self, stage: Stage) -> None:
        """Make this stage's pseudo examples, with the prompt as it is."""
        self.memory.rows = []
        taken: set[str] = set()
        for task in self.learned:
            made = make_texts(
                self.backbone,
                task,
                self.soft_ids(),
                self.settings.pseudo,
                prefix=stage.prefix,
                form=stage.form,
                key=(self.seed, stage.index),
                taken=taken,
            )
            first = f"pseudo:{stage.index}:"
            self.told += report(made, task, stage.index, first=first, number=len(self.memory.rows))
            examples = self.pseudo_examples(stage, task)
            self.memory.rows += encode_rows(
                self.backbone, task, examples, prefix=stage.prefix, form=stage.form
            )[0]

    def pseudo_examples(self, stage: Stage, task: Task) -> list[Example]:
        """Return what was made of a task for this stage."""
        place = (stage.index, task.name)
        return [
            Example(text=line["text"], label=line["label"], row=line["row"])
            for line in self.told
            if (line["stage"], line["task"]) == place and "text" in line
        ]

    def open(self, stage: Stage) -> None:
        """Let the prompt learn, and prepare the rows that it learns to write.

        Raises:
            InputError: the longest text that may be written does not fit in with the prompt.
        """
        if self.learned and self.former is None:
            raise InputError("former: missing from the stored state.")
        self.vectors().requires_grad_(True)
        longest = self.settings.pseudo.max_text_tokens
        wanted = [(task, task.train) for task in stage.sources if task.options]
        wanted += [(task, self.pseudo_examples(stage, task)) for task in self.learned]
        made = [
            row
            for task, examples in wanted
            for row in text_rows(self.backbone, task, examples, longest=longest)
        ]
        self.texts_of = {(row.task, row.row): row for row in made}
        self.made_up = frozenset((row.task, row.row) for row in self.memory.rows)
        # Later, a text of any length may be written where these stand.
        full = [replace(row, answer_ids=(self.backbone.pad_id,) * longest) for row in made]
        check_positions(self.backbone, behind(full, self.soft_ids()))

    def step_rows(self, stage: Stage, step: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Add pseudo examples, drawn anew for each step, and count the targets of all terms."""
        key = (self.seed, stage.index, step, "pseudo")
        rows = self.memory.mixed_in(rows, self.settings.ratio, *key)
        keys = [(row.task, row.row) for row in rows]
        texts = [len(self.texts_of[key].answer_ids) if key in self.texts_of else 0 for key in keys]
        read = zip(rows, keys, texts, strict=True)
        held = [len(row.answer_ids) + text for row, key, text in read if key in self.made_up]
        self.lm_share = 1 / sum(texts) if any(texts) else 0.0
        self.kd_share = 1 / sum(held) if held else 0.0
        return rows

    def readable(self, rows: Sequence[Row], *, scoring: bool) -> Sequence[Row]:
        """Put the prompt between input and answer."""
        return behind(rows, self.soft_ids())

    def soft_tokens(self, tasks: int) -> int:
        """Return the prompt's length."""
        return self.settings.length

    def parameters(self) -> list[ParameterGroup]:
        """Return the prompt."""
        return [ParameterGroup("prompt", [self.vectors()], self.settings.lr)]

    def loss(self, batch: Batch) -> Terms:
        """Return the three terms; each adds up over the step to a mean over its own targets."""
        answers = target_logits(self.backbone, batch).float()
        terms = {"task": batch.share * token_loss(answers, batch.labels)}
        read = [(batch, answers)]
        if self.lm_share:
            keys = [(row.task, row.row) for row in batch.rows]
            rows = [self.texts_of[key] for key in keys if key in self.texts_of]
            total = answers.new_zeros(())
            if rows:
                longer = behind(rows, self.soft_ids())
                texts = collate(longer, self.backbone, share=self.lm_share)
                logits = target_logits(self.backbone, texts).float()
                read.append((texts, logits))
                total = token_loss(logits, texts.labels)
            terms["lm"] = self.settings.lm_weight * self.lm_share * total
        if self.kd_share and self.settings.kd_weight:
            moved = torch.stack([self.moved(*part) for part in read]).sum()
            terms["distil"] = self.settings.kd_weight * self.kd_share * moved
        return terms

    def moved(self, batch: Batch, logits: Tensor) -> Tensor:
        """Return how far the prompt has moved on a batch's pseudo examples, summed over targets.

        The logits (rows, L, vocabulary) are what the prompt as it is gave for the batch.
        """
        keys = [(row.task, row.row) for row in batch.rows]
        chosen = [i for i, key in enumerate(keys) if key in self.made_up]
        if not chosen:
            return logits.new_zeros(())
        part = only(batch, chosen)
        now, self.prompt = self.prompt, self.former
        try:
            with torch.no_grad(), self.backbone.evaluating():
                teacher = target_logits(self.backbone, part).float()
        finally:
            self.prompt = now
        targets = part.labels != IGNORED
        return divergence(teacher[targets], logits[chosen][targets])

    def remarks(self, stage: Stage) -> list[str]:
        """Say how many texts are longer than those that are learned and written."""
        longest = self.settings.pseudo.max_text_tokens
        cut = sum(row.answer_ids[-1] != self.backbone.end_id for row in self.texts_of.values())
        if not cut:
            return []
        return [
            f"{cut} of {len(self.texts_of)} texts have more than method.pseudo.max_text_tokens ="
            f" {longest} tokens; it learned to write their beginnings."
        ]

    def end(self, stage: Stage) -> None:
        """Freeze the prompt; of the task, keep the words around its texts."""
        self.vectors().requires_grad_(False)
        self.former = None
        self.texts_of = {}
        # With blurred borders a stage holds rows of its neighbours too.
        known = {task.name for task in self.learned}
        self.learned += [words_of(task) for task in stage.sources if task.name not in known]

    def stored_parameters(self) -> int:
        """Return the prompt's size."""
        return self.vectors().numel()

    def stored_examples(self) -> list[Row]:
        """Return this stage's pseudo examples: none is ever a real one."""
        return list(self.memory.rows)

    def texts(self) -> dict[str, str]:
        """Return pseudo.jsonl: each example that was kept, and for each label what was not."""
        return {"pseudo.jsonl": "".join(files.line(line) + "\n" for line in self.told)}


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(teacher || student) of logits (positions, vocabulary): nats, summed over positions.

    Gradients flow to the student alone (Hinton et al. 2015).
    """
    wanted, given = teacher.detach().log_softmax(-1), student.log_softmax(-1)
    return F.kl_div(given, wanted, reduction="sum", log_target=True)


def only(batch: Batch, chosen: Sequence[int]) -> Batch:
    """Return some rows of a batch, padded as they are."""
    index = torch.tensor(chosen, device=batch.labels.device)
    inputs = {name: tensor[index] for name, tensor in batch.inputs.items()}
    return Batch(tuple(batch.rows[i] for i in chosen), inputs, batch.labels[index], batch.share)
