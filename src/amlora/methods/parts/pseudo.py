"""Examples that a model makes up for a task it has learned, so that no example need be kept.

A model learns to write a task's texts: a prompt names task and label, and a text follows. Later it
is asked for some of each label; those that pass every check are kept. The label was there first, so
an example carries it by construction.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from transformers import RepetitionPenaltyLogitsProcessor

from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, collate, seed_of, target_logits
from amlora.engine.encode import Row, decode, encode_pairs, encode_prompt, encode_rows
from amlora.engine.generate import generate_ids, inference
from amlora.evaluate.score import normalise
from amlora.methods.parts.prompts import behind
from amlora.settings import Settings
from amlora.streams.prompt import Form, Prefix, Prompt
from amlora.streams.task import Example, Task

Reason = Literal["empty", "short", "copy", "answer", "repeated", "not needed"]
"""Why a sampled text was not kept, in the order of the checks."""


class PseudoSettings(Settings):
    """How examples are made up and which of them are kept."""

    per_label: PositiveInt = 2
    """Examples kept for each label of each earlier task (the original's code: 2)."""
    max_text_tokens: PositiveInt = 128
    """Longest text that is learned and written, in tokens (the original's code: 128)."""
    min_text_tokens: PositiveInt = 4
    """Shortest text that is kept, in tokens; ours."""
    top_k: PositiveInt = 64
    """Likeliest tokens among which the next is drawn (the original's code: 64)."""
    repetition_penalty: Annotated[float, Field(ge=1)] = 1.2
    """Divides the logits of tokens that a text already has; 1 for none. 1.2 is Keskar et al. 2019;
    the original's code has 2.5, at which hardly any word comes twice."""
    oversample: PositiveInt = 4
    """Texts sampled for each example that is missing; ours."""
    attempts: PositiveInt = 3
    """Rounds of sampling at most; ours."""
    batch: PositiveInt = 16
    """Texts sampled in one batch; ours."""
    self_check: bool = True
    """Keep a text only if the model itself answers the label to it; ours."""

    def check(self) -> None:
        """Refuse a shortest text that is longer than the longest."""
        if self.min_text_tokens > self.max_text_tokens:
            raise ValueError(
                f"min_text_tokens is {self.min_text_tokens}, more than max_text_tokens,"
                f" {self.max_text_tokens}."
            )


@dataclass
class Made:
    """What was sampled for one label."""

    label: str
    texts: list[str] = field(default_factory=list)
    """Those that are kept."""
    sampled: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)


def refusal(
    task: Task, label: str, text: str, tokens: int, settings: PseudoSettings
) -> Reason | None:
    """Say what is wrong with a text, of so many tokens, that was asked for with a label."""
    words, asked = normalise(text), normalise(ask(task, label).full)
    if not words:
        return "empty"
    if tokens < settings.min_text_tokens:
        return "short"
    instruction = normalise(task.instruction)
    if words in asked or (instruction and instruction in words):
        return "copy"
    return None


def make_texts(
    backbone: Backbone,
    task: Task,
    soft: Sequence[int],
    settings: PseudoSettings,
    *,
    prefix: Prefix,
    form: Form,
    key: tuple[object, ...],
    taken: set[str],
) -> list[Made]:
    """Sample texts for each label of a task until there are enough or the attempts are used up.

    Args:
        backbone: the model as it was taught the task.
        task: the words around its examples; without options it has no labels, and nothing is made.
        soft: ids of the soft prompt.
        settings: how many, and which are good.
        prefix, form: how the task's answers are asked for, for the self-check.
        key: decides the sampling, with the task's name and the attempt.
        taken: normalised texts that are there already; those that are kept are added.

    Returns:
        One entry for each label, in the order of the options.
    """
    made = [Made(label) for label in task.options]
    for attempt in range(settings.attempts):
        missing = [settings.oversample * (settings.per_label - len(each.texts)) for each in made]
        asked = [each for each, count in zip(made, missing, strict=True) for _ in range(count)]
        if not asked:
            break
        labels = [each.label for each in asked]
        fit: list[tuple[Made, str]] = []
        written = write(backbone, task, labels, soft, settings, key=(*key, task.name, attempt))
        for each, (text, tokens) in zip(asked, written, strict=True):
            each.sampled += 1
            if reason := refusal(task, each.label, text, tokens, settings):
                each.refused[reason] += 1
            else:
                fit.append((each, text))
        right = [True] * len(fit)
        if settings.self_check:
            examples = [
                Example(text=text, label=each.label, row=str(i))
                for i, (each, text) in enumerate(fit)
            ]
            rows = encode_rows(backbone, task, examples, prefix=prefix, form=form)[0]
            right = answers_gold(backbone, behind(rows, soft), batch=settings.batch)
        for (each, text), good in zip(fit, right, strict=True):
            keep(each, text, good, taken, settings.per_label)
    return made


def keep(made: Made, text: str, right: bool, taken: set[str], wanted: int) -> None:
    """Keep a text that is right, new and needed, or book why not."""
    words = normalise(text)
    if not right:
        made.refused["answer"] += 1
    elif words in taken:
        made.refused["repeated"] += 1
    elif len(made.texts) == wanted:
        made.refused["not needed"] += 1
    else:
        made.texts.append(text)
        taken.add(words)


def report(
    made: Sequence[Made], task: Task, stage: int, *, first: str, number: int
) -> list[dict[str, Any]]:
    """Return plain lines for a reader: each text kept, with its row id, and a count per label.

    A row's id is `first` and a number, `number` for the first text.
    """
    place = {"stage": stage, "task": task.name}
    if not task.options:
        return [{**place, "label": None, "kept": 0, "why": "its answers are free text"}]
    pairs = [(each.label, text) for each in made for text in each.texts]
    lines: list[dict[str, Any]] = [
        {**place, "label": label, "row": f"{first}{number + i}", "text": text}
        for i, (label, text) in enumerate(pairs)
    ]
    for each in made:
        counts = {"kept": len(each.texts), "sampled": each.sampled, "refused": dict(each.refused)}
        lines.append({**place, "label": each.label, **counts})
    return lines


def write(
    backbone: Backbone,
    task: Task,
    labels: Sequence[str],
    soft: Sequence[int],
    settings: PseudoSettings,
    *,
    key: tuple[object, ...],
) -> list[tuple[str, int]]:
    """Sample one text for each label; return them with their lengths in tokens."""
    prompts = {
        label: (*encode_prompt(backbone, ask(task, label)), *soft)
        for label in dict.fromkeys(labels)
    }
    out: list[tuple[str, int]] = []
    for at in range(0, len(labels), settings.batch):
        made = sample(
            backbone,
            [prompts[label] for label in labels[at : at + settings.batch]],
            top_k=settings.top_k,
            penalty=settings.repetition_penalty,
            max_new_tokens=settings.max_text_tokens,
            seed=seed_of(*key, at, "pseudo"),
        )
        # A text that was cut within a character ends in replacement marks.
        out += [(decode(backbone, ids).rstrip("\ufffd").strip(), len(ids)) for ids in made]
    return out


def answers_gold(backbone: Backbone, rows: Sequence[Row], *, batch: int) -> list[bool]:
    """Tell for each row whether the model's best tokens are the gold answer, end token included."""
    found: list[bool] = []
    with inference(backbone):
        for at in range(0, len(rows), batch):
            read = collate(rows[at : at + batch], backbone, share=1.0)
            best = target_logits(backbone, read).argmax(-1)
            wrong = (best != read.labels) & (read.labels != IGNORED)
            found += (~wrong.any(-1)).tolist()
    return found


def words_of(task: Task) -> Task:
    """Return a task without its examples: all that may be remembered of it."""
    return replace(task, train=(), dev=(), test=(), source="")


def ask(task: Task, label: str) -> Prompt:
    """Return the prompt that a text of a task with a label follows.

    Unlike an answer's prompt it names the task: others may have its instruction and labels.
    """
    instruction = f"{task.instruction}\n" if task.instruction else ""
    return Prompt(f"Write an example of {task.name}.\n{instruction}Label: {label}\n", "", "Text:")


def text_rows(
    backbone: Backbone, task: Task, examples: Sequence[Example], *, longest: int
) -> list[Row]:
    """Return examples as rows that are answered by their texts.

    A text of more than `longest` tokens is cut there and then has no end token: it goes on.

    Raises:
        InputError: the generation prompt is longer than `model.max_tokens`.
    """
    prompts = [ask(task, example.label) for example in examples]
    pairs, _ = encode_pairs(backbone, prompts, [example.text for example in examples])
    return [
        Row(task.name, example.row, prompt_ids, text_ids[:longest], example.text)
        for example, (prompt_ids, text_ids) in zip(examples, pairs, strict=True)
    ]


def sample(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    *,
    top_k: int,
    penalty: float,
    max_new_tokens: int,
    seed: int,
) -> list[list[int]]:
    """Continue each prompt of one batch at random; torch's global random state is set by `seed`.

    The penalty is on tokens that a text already has (Keskar et al. 2019, section 4.1). A label's
    words are no repetition, so the prompt's own do not count.

    Returns:
        For each prompt the new ids before its first end token.
    """
    # What an encoder reads is not in the output; the decoder's start token is.
    longest = max(len(prompt) for prompt in prompts)
    first = longest if backbone.family == "decoder-only" else 1
    watch = RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=first)
    torch.manual_seed(seed)
    with inference(backbone):
        return generate_ids(backbone, prompts, max_new_tokens, watch=watch, top_k=top_k)
