"""How near an answer of free text comes to the right one, 0..1: F1 of words, and ROUGE-L.

F1 is SQuAD's (Rajpurkar et al. 2016): of the words that two answers share, however ordered. Words
are those of `score.normalise`, which keeps articles. ROUGE-L (Lin 2004) is F1 of the longest common
subsequence of words, by the rouge-score library, an extra that is imported where it is used. Both
know only words with something between them: of a script without spaces a clause is one word.
"""

import importlib
import re
from collections import Counter
from types import ModuleType

from amlora.errors import InputError
from amlora.evaluate.score import normalise

WORD = re.compile(r"[^\W_]+")


def token_f1(answer: str, gold: str) -> float:
    """Return the harmonic mean of precision and recall of an answer's words.

    Two texts without any word are equal; one without is worth nothing beside one that has some.
    """
    said, wanted = normalise(answer).split(), normalise(gold).split()
    if not said or not wanted:
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted))


def rouge_l(answer: str, gold: str) -> float:
    """Return ROUGE-L's F1, without stemming.

    The library's own tokenizer knows a-z and 0-9 alone and takes "Zürich" for "z rich", so it is
    given one that knows the letters and digits of all scripts; on ASCII both agree.

    Raises:
        InputError: the library is not installed.
    """
    scorer = rouge_library().RougeScorer(["rougeL"], tokenizer=Words())
    return float(scorer.score(gold, answer)["rougeL"].fmeasure)


def rouge_library() -> ModuleType:
    """Return the library's module, or an InputError that says how to install it."""
    try:
        return importlib.import_module("rouge_score.rouge_scorer")
    except ImportError:
        raise InputError(
            "rouge-l needs the library rouge-score: pip install 'amlora[text]'."
        ) from None


class Words:
    """Splits a text as the library asks for it: lower case, letters and digits."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return WORD.findall(text.lower())
