"""Make prompts fit `max_tokens`: a text that is too long is cut at a token's first character.

Of a text far beyond the limit only the start and the end are tokenised. Where no token of the
vocabulary reaches over a blank between two words, tokens on one side of such a blank do not depend
on the other side, so what is kept has the ids that tokenising all of it would give.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tokenizers import Encoding

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.streams.prompt import Prompt

HEAD = 16
"""Characters of a very long text's start that are read, per token of the limit."""
TAIL = 2048
"""Characters of its end among which a blank between two words is looked for."""
AT_ONCE = 2**20
"""Characters that are tokenised at once: a token takes some 200 bytes until its id is taken."""
BETWEEN = re.compile(r"(?<=[^\W_]) (?=[^\W_])")
"""A blank between two words."""
ACROSS = re.compile(r"[A-Za-z0-9\u00a1-\uffff](?<![\u0120\u010a\u2581])[ \u0120\u2581]")
"""In a token as a vocabulary writes it: a word's character and then a blank, U+2581 or U+0120."""


def fit(
    backbone: Backbone, prompts: Sequence[Prompt], answers: Sequence[str] = ()
) -> Iterator[tuple[slice, list[Prompt], list[Encoding]]]:
    """Shorten the texts of prompts that are longer than `max_tokens`, some prompts at a time.

    A text is cut at the end, at a token's first character. The cut prompt is tokenised again, as
    merges across the cut may change its length; once is nearly always enough.

    Args:
        backbone: gives the tokenizer.
        prompts: any number.
        answers: what is tokenised together with each, if anything is.

    Yields:
        Which prompts, how they fit, and their encodings.

    Raises:
        InputError: a prompt does not fit even without its text.
    """
    started = begun(backbone, prompts)
    sizes = [len(prompt.full) for prompt in started]
    if answers:
        sizes = [size + len(answer) for size, answer in zip(sizes, answers, strict=True)]
    for part in in_parts(sizes):
        yield part, *shortened(backbone, started[part])


def in_parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Yield slices of texts of these sizes: together at most AT_ONCE characters, or one text."""
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and total + size > AT_ONCE:
            yield slice(start, place)
            start, total = place, 0
        total += size
    if sizes:
        yield slice(start, len(sizes))


def begun(backbone: Backbone, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Shorten very long texts as `fit` does at first, without tokenising all of them."""
    most = HEAD * backbone.settings.max_tokens
    out = list(prompts)
    for before, after in {(each.before, each.after) for each in prompts}:
        if len(before) + len(after) > most:
            check_words(backbone, before + after)
    long = [i for i, prompt in enumerate(prompts) if len(prompt.text) > 2 * (most + TAIL)]
    if not long or not parts_at_blanks(backbone):
        return out
    for i in long:
        if cut := cut_middle(prompts[i].text, most):
            head, tail = cut
            ends = replace(prompts[i], text=head + tail)
            (encoding,) = tokenise(backbone, [ends.full])
            if len(encoding.ids) > backbone.settings.max_tokens:
                kept = shorten(backbone, ends, encoding)
                if len(kept.text) <= len(head):
                    out[i] = kept
    return out


def shortened(backbone: Backbone, prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Encoding]]:
    """Shorten prompts until each fits, and return them with their encodings."""
    limit = backbone.settings.max_tokens
    fitted = list(prompts)
    encodings = tokenise(backbone, [prompt.full for prompt in fitted])
    long = [i for i, encoding in enumerate(encodings) if len(encoding.ids) > limit]
    while long:
        for i in long:
            fitted[i] = shorten(backbone, fitted[i], encodings[i])
        fresh = tokenise(backbone, [fitted[i].full for i in long])
        for i, encoding in zip(long, fresh, strict=True):
            encodings[i] = encoding
        long = [i for i in long if len(encodings[i].ids) > limit]
    return fitted, encodings


def check_words(backbone: Backbone, words: str) -> None:
    """Refuse words around texts that do not fit, by their start, before any text is read."""
    most = HEAD * backbone.settings.max_tokens
    starts = [match.start() for match in BETWEEN.finditer(words, most // 2, most)]
    start = words[: starts[-1]] if starts and parts_at_blanks(backbone) else words
    (encoding,) = tokenise(backbone, [start])
    if len(encoding.ids) > backbone.settings.max_tokens:
        raise too_long(backbone, words, len(encoding.ids))


def parts_at_blanks(backbone: Backbone) -> bool:
    """Tell whether no token of the vocabulary reaches over a blank between two words."""
    return not any(ACROSS.search(token) for token in backbone.tokenizer.get_vocab())


def cut_middle(text: str, most: int) -> tuple[str, str] | None:
    """Return a text's start of at most `most` characters and its end, each up to such a blank.

    The end begins with its blank. None where there is no blank to cut at.
    """
    starts = [match.start() for match in BETWEEN.finditer(text, most // 2, most)]
    end = BETWEEN.search(text, len(text) - TAIL)
    return (text[: starts[-1]], text[end.start() :]) if starts and end else None


def shorten(backbone: Backbone, prompt: Prompt, encoding: Encoding) -> Prompt:
    """Cut as many tokens off a prompt's text as the prompt is too long by; one must be left."""
    limit = backbone.settings.max_tokens
    first, last = len(prompt.before), len(prompt.before) + len(prompt.text)
    if not prompt.text:
        raise too_long(backbone, prompt.full, len(encoding.ids))
    starts = [start for start, stop in encoding.offsets if first <= start < last and stop > start]
    kept = len(starts) - (len(encoding.ids) - limit)
    text = prompt.text[: starts[kept] - first] if kept > 0 else ""
    return replace(prompt, text=text.rstrip())


def too_long(backbone: Backbone, words: str, tokens: int) -> InputError:
    """Return the error for words around a text that alone have too many tokens."""
    return InputError(
        f"model.max_tokens is {backbone.settings.max_tokens}, but the prompt {words[:60]!r}... has"
        f" {tokens} tokens or more without any text."
    )


def tokenise(backbone: Backbone, texts: Iterable[str], target: bool = False) -> list[Encoding]:
    """Tokenise many texts at once, special tokens as the tokenizer adds them; nothing is cut.

    Args:
        backbone: gives the tokenizer.
        texts: what to tokenise.
        target: they are answers of an encoder-decoder model; some tokenizers treat those otherwise.

    Raises:
        InputError: a text holds a token that the model has no embedding for.
    """
    if not (texts := list(texts)):
        return []
    tokenizer = backbone.tokenizer
    encoded = tokenizer(text_target=texts) if target else tokenizer(text=texts)
    assert encoded.encodings is not None, "load_backbone refuses slow tokenizers"
    if beyond := backbone.without_embedding:
        for text, encoding in zip(texts, encoded.encodings, strict=True):
            for token in beyond.keys() & {*encoding.ids}:
                raise InputError(
                    f"the token {beyond[token]!r} (id {token}) of {backbone.name!r} has no"
                    f" embedding; it stands in the text {text[:60]!r}."
                )
    return encoded.encodings
