"""When two answers, or two texts, count as the same."""

import string
import unicodedata

PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_key(answer: str) -> str:
    """Return what is left of an answer for exact match: lower case, no punctuation, no white space.

    White space goes altogether, so two options with equal keys could be taken for each other.
    """
    return "".join(answer.lower().translate(PUNCTUATION).split())


def text_key(text: str) -> str:
    """Return a text without case, punctuation and extra white space, to find it again elsewhere."""
    return " ".join(text.casefold().translate(PUNCTUATION).split()) or text


def look_key(answer: str) -> str:
    """Return an answer's key without what nobody sees; answers with equal keys look alike.

    Accents are joined to their letters (NFC); zero width characters, marks of direction, soft
    hyphens (category Cf) and variation selectors are left out.
    """
    joined = unicodedata.normalize("NFC", answer)
    seen = (each for each in joined if unicodedata.category(each) != "Cf")
    return answer_key("".join(each for each in seen if not "\ufe00" <= each <= "\ufe0f"))
