"""Turn examples into token ids, so that a trained prompt and a prompt at inference are the same.

Decoder-only models read prompt and answer as one text, so they are tokenised as one: in pieces the
answer would get other ids (a second start token, lost merges). Encoder-decoder models read two
texts. Only a prompt's text is ever shortened: never the instruction, the options or the answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tokenizers import Encoding

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.evaluate.score import normalise
from amlora.mixture.route import Belief, Route
from amlora.streams.prompt import Form, Prefix, Prompt, build_prompt
from amlora.streams.task import Example, Task


@dataclass(frozen=True, slots=True)
class Row:
    """One example as token ids."""

    task: str
    row: str
    """Stable id inside the task."""
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    """The gold answer with an end token last."""
    gold: str
    """The gold answer as text."""
    shared: int = 0
    """Length of the prompt's start that all rows of the task share; 0: not looked for."""
    route: Route | None = None
    """Which stages' models answer; None for the model as it is, as in training."""
    belief: Belief | None = None
    """What the route was chosen by; None where no stages were told apart."""


def encode_rows(
    backbone: Backbone, task: Task, examples: Sequence[Example], *, prefix: Prefix, form: Form
) -> list[Row]:
    """Tokenise a task's examples.

    Prompts longer than `max_tokens` are shortened in their text. The answer comes on top, so that a
    prompt does not depend on it.

    Raises:
        InputError: a prompt does not fit even without its text, or an option is not the same text
            after encoding and decoding (the tokenizer has no tokens for some of its characters).
    """
    check_options(backbone, task, prefix=prefix, form=form)
    prompts = [build_prompt(task, example.text, prefix=prefix, form=form) for example in examples]
    labels = [example.label for example in examples]
    pairs = encode_pairs(backbone, prompts, labels)
    encoded = zip(examples, pairs, strict=True)
    rows = [
        Row(task.name, example.row, prompt_ids, answer_ids, example.label)
        for example, (prompt_ids, answer_ids) in encoded
    ]
    check_answers(backbone, task, {(row.gold, row.answer_ids) for row in rows})
    return rows


def encode_prompt(backbone: Backbone, prompt: Prompt) -> tuple[int, ...]:
    """Tokenise one prompt without an answer.

    Raises:
        InputError: it does not fit even without its text, or it has no token at all.
    """
    (encoding,) = fit(backbone, [prompt])[1]
    ids = prompt_ids_of(backbone, encoding)
    if not ids:
        raise InputError(f"the prompt {prompt.full!r} has no tokens; {backbone.name!r} needs one.")
    return ids


def encode_pairs(
    backbone: Backbone, prompts: Sequence[Prompt], answers: Sequence[str]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Tokenise prompts, each with its answer.

    Decoder-only: the ids of `prompt + " " + answer` are split after the prompt's own ids. Where the
    two texts share a token, they are split before it, so it belongs to the answer.

    Returns:
        For each pair the prompt's ids and the answer's ids, an end token last.

    Raises:
        InputError: a prompt does not fit even without its text.
    """
    prompts, alone = fit(backbone, prompts)
    end = (backbone.end_id,)
    if backbone.family == "encoder-decoder":
        targets: dict[str, tuple[int, ...]] = dict.fromkeys(answers, ())
        for answer, encoding in zip(targets, tokenise(backbone, targets, True), strict=True):
            targets[answer] = without_tail(encoding)
        encoded = zip(alone, answers, strict=True)
        return [(prompt_ids_of(backbone, each), targets[answer] + end) for each, answer in encoded]
    pairs = list(zip(prompts, answers, strict=True))
    joint = tokenise(backbone, [f"{prompt.full} {answer}" for prompt, answer in pairs])
    out = []
    for (prompt, _), encoding, whole in zip(pairs, alone, joint, strict=True):
        ids = without_tail(whole)
        start = without_tail(encoding)
        at = len(start)
        if ids[:at] != start:
            chars = len(prompt.full)
            after = (i for i, (_, stop) in enumerate(whole.offsets) if stop > chars)
            at = next(after, len(ids))
        out.append((ids[:at], ids[at:] + end))
    return out


def fit(backbone: Backbone, prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Encoding]]:
    """Shorten the texts of prompts that are longer than `max_tokens`; return prompts and encodings.

    A text is cut at the end, at a token's first character. The cut prompt is tokenised again, as
    merges across the cut may change its length; once is nearly always enough.

    Raises:
        InputError: a prompt does not fit even without its text.
    """
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


def shorten(backbone: Backbone, prompt: Prompt, encoding: Encoding) -> Prompt:
    """Cut as many tokens off a prompt's text as the prompt is too long by.

    Raises:
        InputError: there is no text left to cut.
    """
    limit = backbone.settings.max_tokens
    first, last = len(prompt.before), len(prompt.before) + len(prompt.text)
    if not prompt.text:
        raise InputError(
            f"model.max_tokens is {limit}, but the prompt {prompt.full[:60]!r}... has "
            f"{len(encoding.ids)} tokens without any text."
        )
    starts = [start for start, stop in encoding.offsets if first <= start < last and stop > start]
    kept = len(starts) - (len(encoding.ids) - limit)
    text = prompt.text[: starts[kept] - first] if kept > 0 else ""
    return replace(prompt, text=text.rstrip())


def tokenise(backbone: Backbone, texts: Iterable[str], target: bool = False) -> list[Encoding]:
    """Tokenise many texts at once, special tokens as the tokenizer adds them; nothing is cut.

    Args:
        backbone: gives the tokenizer.
        texts: what to tokenise.
        target: they are answers of an encoder-decoder model; some tokenizers treat those otherwise.
    """
    texts = list(texts)
    if not texts:
        return []
    tokenizer = backbone.tokenizer
    made = tokenizer(text_target=texts) if target else tokenizer(text=texts)
    assert made.encodings is not None, "load_backbone refuses slow tokenizers"
    return made.encodings


def without_tail(encoding: Encoding) -> tuple[int, ...]:
    """Return the ids without the special tokens that the tokenizer puts at the end."""
    mask = encoding.special_tokens_mask
    stop = len(mask)
    while stop and mask[stop - 1]:
        stop -= 1
    return tuple(encoding.ids[:stop])


def prompt_ids_of(backbone: Backbone, encoding: Encoding) -> tuple[int, ...]:
    """Return a prompt's ids: an encoder's input is closed by its tokenizer, a decoder's goes on."""
    if backbone.family == "encoder-decoder":
        return tuple(encoding.ids)
    return without_tail(encoding)


def decode(backbone: Backbone, ids: Sequence[int]) -> str:
    """Return the text of generated ids, special tokens left out and blanks as they are."""
    text = backbone.tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    assert isinstance(text, str)
    return text


def check_options(backbone: Backbone, task: Task, *, prefix: Prefix, form: Form) -> None:
    """Refuse a task with an option that no generated answer could match.

    Raises:
        InputError: naming the option and the tokenizer.
    """
    prompt = build_prompt(task, "", prefix=prefix, form=form)
    pairs = encode_pairs(backbone, [prompt] * len(task.options), task.options)
    answers = [answer_ids for _, answer_ids in pairs]
    check_answers(backbone, task, set(zip(task.options, answers, strict=True)))


def check_answers(
    backbone: Backbone, task: Task, answers: set[tuple[str, tuple[int, ...]]]
) -> None:
    """Refuse answer ids of options that do not read back as the option; free text is not checked.

    Raises:
        InputError: naming the option and the tokenizer.
    """
    for label, ids in sorted(answers):
        text = decode(backbone, ids)
        if label in task.options and normalise(text) != normalise(label):
            raise InputError(
                f"task {task.name!r}: option {label!r} reads back as {text!r} from the tokenizer "
                f"of {backbone.name!r}; use an option that it can write."
            )
