"""Rows of made-up tokens in the shape of classification prompts."""

import random

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row

ANSWERS = ("very negative", "negative", "neutral", "positive", "very positive")


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
