"""Exact match after normalising: the one score of the package.

The rule is the reference benchmark's (O-LoRA's scorer, itself SQuAD's without the step that drops
articles): lower-case, remove ASCII punctuation, collapse white space.
"""

import string

PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower-case, remove ASCII punctuation, make every run of white space one space, strip.

    Articles are kept ("the answer" is not "answer"). Punctuation is removed and not replaced, so
    "sci-fi" becomes "scifi". Other punctuation than ASCII's stays.
    """
    return " ".join(text.lower().translate(PUNCTUATION).split())


def is_match(answer: str, gold: str) -> bool:
    """Whether an answer equals the gold text once both are normalised."""
    return normalise(answer) == normalise(gold)
