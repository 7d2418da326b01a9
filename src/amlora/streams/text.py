"""When two answers, or two texts, count as the same."""

import string

PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_key(answer: str) -> str:
    """Return what is left of an answer for exact match: lower case, no punctuation, no white space.

    White space goes altogether, so two options with equal keys could be taken for each other.
    """
    return "".join(answer.lower().translate(PUNCTUATION).split())


def text_key(text: str) -> str:
    """Return a text without case, punctuation and extra white space, to find it again elsewhere."""
    return " ".join(text.casefold().translate(PUNCTUATION).split()) or text
