"""Answer texts with what a model has learned: `amlora predict` and `amlora.Skills.predict`.

A text is put into the words of a task, or sent as it is. The words decide nothing else: which
LoRAs answer is told by the whole prompt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from amlora.engine.backbone import Backbone, positions
from amlora.engine.encode import decode, encode_prompts, longest_option
from amlora.engine.generate import generate_each
from amlora.engine.likelihood import option_scores
from amlora.engine.settings import EvaluateSettings
from amlora.errors import InputError, nearest
from amlora.evaluate.lost import Lost, lost_lines, together
from amlora.mixture.manifest import TaskCard
from amlora.mixture.route import by_name, noted
from amlora.mixture.stages import StageSettings
from amlora.skills.facts import prompt_of
from amlora.skills.load import LoadedSkills
from amlora.streams.prompt import Prompt

Answers = list[dict[str, Any]]
"""Of each text: "task" (whose words), "text", "answer", "shortened" (characters), "unknown"
(whether the tokenizer lacks some); "ended" of what was generated, "shares" of what was chosen; and,
where the prompt decides who answers, "stages", "posterior" and "distance"."""


@dataclass
class Shortcomings:
    """What was not answered as asked, counted over texts."""

    texts: int = 0
    lost: Lost = field(default_factory=Lost)
    unended: Counter[int] = field(default_factory=Counter[int])
    """Answers that had not ended, by the number of tokens that they might have."""

    def add(self, others: "Shortcomings") -> None:
        """Add those of other texts."""
        self.texts += others.texts
        self.lost = together([self.lost, others.lost])
        self.unended += others.unended

    def lines(self, longest: int) -> list[str]:
        """Say them, a line each; `longest` is the most tokens of a prompt."""
        said = lost_lines("predict", {"given": (self.lost, self.texts)}, longest)
        return said + [
            f"predict: {count} of {self.texts} answers had not ended after {limit} tokens;"
            " --max-new-tokens allows more."
            for limit, count in sorted(self.unended.items())
        ]


def pick_card(cards: Sequence[TaskCard], task: str | None, skills: str) -> TaskCard:
    """Return the task whose words go round the texts; with one task it need not be named."""
    names = {card.name: card for card in cards}
    if task in names:
        return names[task]
    if task is None and len(cards) == 1:
        return cards[0]
    known = ", ".join(names)
    if task is None:
        raise InputError(f"--task: {skills} learned {known}; name one, or send the text --raw.")
    close = nearest(task, names) or f"; tasks: {known}."
    raise InputError(f"--task: {skills} has no task {task!r}{close}")


def tells_texts(stages: StageSettings | None) -> bool:
    """Tell whether a skill is found by a bare text, without any skill's words round it."""
    return stages is not None and stages.words == "any"


def cards_of(
    backbone: Backbone, learned: LoadedSkills, texts: Sequence[str], task: str | None, name: str
) -> list[TaskCard | None]:
    """Return whose words go round each text: those of a task, or of the skill that the text tells.

    A text that is of no skill has none, and is sent as it is.

    Raises:
        InputError: the task is unknown; or none is named, there are several, and texts alone do not
            tell which.
    """
    router, manifest = learned.router, learned.manifest
    several = task is None and len(learned.tasks) > 1
    if not several or router is None or manifest is None or not tells_texts(manifest.stages):
        return [pick_card(learned.tasks, task, name)] * len(texts)
    by_name = {card.name: card for card in learned.tasks}
    told = [None, *(by_name[skill] for skill in learned.mixture.stage_names)]
    found: list[TaskCard | None] = []
    for ids, _ in encode_prompts(backbone, [prompt_for(None, text) for text in texts]):
        route = router.route(ids)
        assert isinstance(route, tuple), "skills have a router of stages"
        found.append(told[route.index(max(route))])
    return found


def answer(
    backbone: Backbone,
    learned: LoadedSkills,
    texts: Sequence[str],
    cards: Sequence[TaskCard | None],
    *,
    choose: bool = False,
    batch: int = 1,
    max_new_tokens: int | None = None,
) -> tuple[Answers, Shortcomings]:
    """Answer texts.

    Args:
        backbone: the model, with its skills in place.
        learned: what they are.
        texts: any number.
        cards: whose words go round each of them; without any it is sent as it is.
        choose: take the likeliest option, where the words have some, instead of generating.
        batch: prompts at once in generation; more is faster and may round otherwise.
        max_new_tokens: where answers are cut; None for 50, or the longest option's.

    Raises:
        InputError: a prompt does not fit, or leaves no room for its answer.
    """
    prompts = [prompt_for(card, text) for card, text in zip(cards, texts, strict=True)]
    read = encode_prompts(backbone, prompts)
    counts = Shortcomings(len(texts), together([lost for _, lost in read]))
    answers: Answers = []
    for card, text, (ids, lost) in zip(cards, texts, read, strict=True):
        each = {"task": None if card is None else card.name, "text": text}
        each |= {"shortened": lost.characters, "unknown": lost.unknown > 0}
        answers.append(each | routed(learned, ids))
    places: dict[TaskCard | None, list[int]] = {}
    for place, card in enumerate(cards):
        places.setdefault(card, []).append(place)
    for card, own in places.items():
        options = () if card is None else card.options
        longest = longest_option(backbone, prompt_for(card, ""), options)
        ids = {place: read[place][0] for place in own}
        if choose and card is not None and card.options:
            check_room(backbone, ids, longest, f"--choose: an option of {longest} tokens")
            chosen = likeliest(backbone, learned, [prompts[place] for place in own], card)
            for place, found in zip(own, chosen, strict=True):
                answers[place] |= found
            continue
        limit = max_new_tokens or max(EvaluateSettings().max_new_tokens, longest)
        check_room(backbone, ids, limit, f"--max-new-tokens: {limit}")
        made = generate_each(backbone, [*ids.values()], max_new_tokens=limit, batch=batch)
        for place, new in zip(own, made, strict=True):
            ended = len(new) < limit
            answers[place] |= {"answer": decode(backbone, new).strip(), "ended": ended}
            counts.unended[limit] += not ended
    counts.unended = +counts.unended  # without those that are 0
    return answers, counts


def routed(learned: LoadedSkills, ids: tuple[int, ...]) -> dict[str, Any]:
    """Say who answers a prompt, and by what it was told; {} where the prompt does not decide."""
    if learned.router is None:
        return {}
    route, belief = learned.router.read(ids)
    named = by_name(route, learned.mixture.stage_names)
    return {} if named is None else {"stages": named, **noted(belief, learned.mixture.stage_names)}


def likeliest(
    backbone: Backbone, learned: LoadedSkills, prompts: Sequence[Prompt], card: TaskCard
) -> list[dict[str, Any]]:
    """Return the likeliest of a task's options for each prompt, and each option's share, 0..1."""
    most = EvaluateSettings().tokens_per_batch
    scores = option_scores(
        backbone, prompts, card.options, tokens_per_batch=most, router=learned.router
    ).softmax(-1)
    found = [dict(zip(card.options, row, strict=True)) for row in scores.tolist()]
    return [{"answer": max(each, key=lambda one: each[one]), "shares": each} for each in found]


def check_room(
    backbone: Backbone, prompts: dict[int, tuple[int, ...]], new: int, asked: str
) -> None:
    """Refuse answers of `new` tokens for which a prompt (by its place) leaves too few positions."""
    limit = positions(backbone.model.config)
    if limit is None:
        return
    for place, prompt in prompts.items():
        room = limit - (len(prompt) if backbone.family == "decoder-only" else 0)
        if new > room:
            raise InputError(
                f"{asked}, but {backbone.name} has {limit} positions and text {place + 1} takes"
                f" {len(prompt)} of them with its words; at most {room}."
            )


def prompt_for(card: TaskCard | None, text: str) -> Prompt:
    """Put a text into a task's words, or leave it alone."""
    return Prompt("", text, "") if card is None else prompt_of(card, text)
