"""Rows of made-up tokens, and tasks of made-up texts, in the shape of classification prompts."""

import random

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row
from amlora.streams.task import Example, Task

ANSWERS = ("very negative", "negative", "neutral", "positive", "very positive")
INSTRUCTION = "What is the sentiment of the following paragraph? Choose one from the option."
WORDS = (
    "the of and to in is that it was for on are as with his they at be this from have or by one"
    " had not but what all were when we there can an your which their said if do will each about"
    " how up out them then she many some so these would other into has more her two like him see"
    " time could no make than first been its who now people my made over did down only way find"
    " use may water long little very after words called just where most know"
)
"""Frequent ones: a token each in most vocabularies."""


def made_up(
    backbone: Backbone, *, rows: int, instruction: int, text: tuple[int, int], seed: int = 0
) -> list[Row]:
    """Make rows that share an instruction and have random texts and answers.

    Args:
        backbone: gives the vocabulary, the answers' tokens and the end token.
        rows: how many.
        instruction: tokens that all prompts start with.
        text: fewest and most tokens of a text.
        seed: decides everything.
    """
    draw = random.Random(seed)
    size = len(backbone.tokenizer)
    answers = [
        (*backbone.tokenizer(f" {answer}", add_special_tokens=False)["input_ids"], backbone.end_id)
        for answer in ANSWERS
    ]
    start = tuple(draw.randrange(100, size) for _ in range(instruction))
    made: list[Row] = []
    for i in range(rows):
        words = tuple(draw.randrange(100, size) for _ in range(draw.randint(*text)))
        which = draw.randrange(len(ANSWERS))
        made.append(Row("made up", str(i), start + words, answers[which], ANSWERS[which]))
    return made


def made_up_task(name: str, *, train: int, test: int, words: int, seed: int) -> Task:
    """Make a task of random texts, each of so many words; the labels mean nothing."""
    draw, vocabulary = random.Random(seed), WORDS.split()

    def examples(split: str, count: int) -> tuple[Example, ...]:
        return tuple(
            Example(
                text=" ".join(draw.choices(vocabulary, k=words)),
                label=draw.choice(ANSWERS),
                row=f"{split}:{i}",
            )
            for i in range(count)
        )

    return Task(
        name=name,
        instruction=INSTRUCTION,
        options=ANSWERS,
        train=examples("train", train),
        dev=(),
        test=examples("test", test),
    )
