"""Exact match: the one score of the package, by one of two rules.

"reference" is the reference benchmark's rule (O-LoRA's scorer, itself SQuAD's without the step that
drops articles): lower-case, remove ASCII punctuation, collapse white space. It sees no sign and no
point: "-5" equals "5", "1.5" equals "15". "exact" compares answers as they are, white space around
them aside.
"""

import string
from typing import Literal

Rule = Literal["reference", "exact"]

PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower-case, remove ASCII punctuation, make every run of white space one space, strip.

    Articles are kept ("the answer" is not "answer"). Punctuation is removed and not replaced, so
    "sci-fi" becomes "scifi". Other punctuation than ASCII's stays.
    """
    return " ".join(text.lower().translate(PUNCTUATION).split())


def is_match(answer: str, gold: str, rule: Rule = "reference") -> bool:
    """Whether an answer equals the gold text by a rule."""
    if rule == "exact":
        return answer.strip() == gold.strip()
    return normalise(answer) == normalise(gold)
