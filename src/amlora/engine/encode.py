"""Turn examples into token ids, so that a trained prompt and a prompt at inference are the same.

Decoder-only models read prompt and answer as one text, so they are tokenised as one: in pieces the
answer would get other ids (a second start token, lost merges). Encoder-decoder models read two
texts. Only a prompt's text is ever shortened: never the instruction, the options or the answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Encoding

from amlora.engine.backbone import Backbone, positions
from amlora.engine.fit import HEAD, fit, tokenise
from amlora.errors import InputError
from amlora.evaluate.lost import Lost
from amlora.evaluate.score import normalise
from amlora.mixture.route import Belief, Route
from amlora.streams.prompt import Form, Prefix, Prompt, build_prompt
from amlora.streams.task import Example, Task

Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""The ids of a prompt and of its answer."""


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
) -> tuple[list[Row], Lost]:
    """Tokenise a task's examples, and count what of them is lost by it.

    Prompts longer than `max_tokens` are shortened in their text. The answer comes on top, so that a
    prompt does not depend on it.

    Raises:
        InputError: a prompt does not fit even without its text, an answer is longer than the model
            can write, or an option is not the same text after encoding and decoding (the tokenizer
            has no tokens for some of its characters).
    """
    check_length(backbone, task, examples)
    bare = build_prompt(task, "", prefix=prefix, form=form)
    options, _ = encode_pairs(backbone, [bare] * len(task.options), task.options)
    check_answers(backbone, task, zip(task.options, (ids for _, ids in options), strict=True))
    prompts = [build_prompt(task, example.text, prefix=prefix, form=form) for example in examples]
    pairs, cuts = encode_pairs(backbone, prompts, [example.label for example in examples])
    rows = [
        Row(task.name, example.row, *ids, example.label)
        for example, ids in zip(examples, pairs, strict=True)
    ]
    answers = [(row.gold, row.answer_ids) for row in rows]
    check_answers(backbone, task, answers)
    free = () if task.options else answers
    return rows, lost_of(backbone, [row.prompt_ids for row in rows], cuts, free)


def encode_prompt(backbone: Backbone, prompt: Prompt) -> tuple[int, ...]:
    """Tokenise one prompt without an answer; see `encode_prompts`."""
    ((ids, _),) = encode_prompts(backbone, [prompt])
    return ids


def encode_prompts(
    backbone: Backbone, prompts: Sequence[Prompt]
) -> list[tuple[tuple[int, ...], Lost]]:
    """Tokenise prompts without answers; return each one's ids, and what of it is lost.

    Raises:
        InputError: one does not fit even without its text, or it has no token at all.
    """
    out: list[tuple[tuple[int, ...], Lost]] = []
    for part, fitted, encodings in fit(backbone, prompts):
        for prompt, kept, encoding in zip(prompts[part], fitted, encodings, strict=True):
            ids = prompt_ids_of(backbone, encoding)
            if not ids:
                raise InputError(
                    f"the prompt {prompt.full!r} has no tokens; {backbone.name!r} needs one."
                )
            out.append((ids, lost_of(backbone, [ids], [cut_off(prompt, kept)])))
    return out


def longest_option(backbone: Backbone, prompt: Prompt, options: Sequence[str]) -> int:
    """Return the number of tokens of the longest option, its end token included; 0 without any."""
    pairs, _ = encode_pairs(backbone, [prompt] * len(options), options)
    return max((len(answer_ids) for _, answer_ids in pairs), default=0)


def encode_pairs(
    backbone: Backbone, prompts: Sequence[Prompt], answers: Sequence[str]
) -> tuple[list[Pair], list[int]]:
    """Tokenise prompts, each with its answer.

    Decoder-only: the ids of `prompt + " " + answer` are split after the prompt's own ids. Where the
    two texts share a token, they are split before it, so it belongs to the answer.

    Returns:
        For each pair the prompt's ids and the answer's ids, an end token last; and how many
        characters were cut off each prompt's text.

    Raises:
        InputError: a prompt does not fit even without its text.
    """
    pairs: list[Pair] = []
    cuts: list[int] = []
    for part, fitted, alone in fit(backbone, prompts, answers):
        cuts += map(cut_off, prompts[part], fitted)
        pairs += paired(backbone, fitted, alone, answers[part])
    return pairs, cuts


def paired(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    alone: Sequence[Encoding],
    answers: Sequence[str],
) -> list[Pair]:
    """Return the ids of prompts that fit, given their encodings, and of their answers."""
    end = (backbone.end_id,)
    if backbone.family == "encoder-decoder":
        targets: dict[str, tuple[int, ...]] = dict.fromkeys(answers, ())
        for answer, encoding in zip(targets, tokenise(backbone, targets, True), strict=True):
            targets[answer] = without_tail(encoding)
        encoded = zip(alone, answers, strict=True)
        return [(prompt_ids_of(backbone, each), targets[answer] + end) for each, answer in encoded]
    pairs = list(zip(prompts, answers, strict=True))
    joint = tokenise(backbone, [f"{prompt.full} {answer}" for prompt, answer in pairs])
    out: list[Pair] = []
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


def cut_off(prompt: Prompt, fitted: Prompt) -> int:
    """Return how many characters of a prompt's text are not in what was made of it."""
    return len(prompt.text) - len(fitted.text)


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


def check_answers(
    backbone: Backbone, task: Task, answers: Iterable[tuple[str, tuple[int, ...]]]
) -> None:
    """Refuse ids of options that do not read back as the option; free text is not checked."""
    for label, ids in sorted({*answers}):
        text = decode(backbone, ids)
        if label in task.options and normalise(text) != normalise(label):
            raise InputError(
                f"task {task.name!r}: option {label!r} reads back as {text!r} from the tokenizer "
                f"of {backbone.name!r}; use an option that it can write."
            )


def check_length(backbone: Backbone, task: Task, examples: Sequence[Example]) -> None:
    """Refuse answers that alone have more tokens than the model has positions, by their start."""
    limit = positions(backbone.model.config)
    if limit is None:
        return
    for example in examples:
        if len(example.label) > HEAD * limit:
            (start,) = tokenise(backbone, [example.label[: HEAD * limit]])
            if len(start.ids) > limit:
                raise InputError(
                    f"task {task.name!r}: the answer of row {example.row} has"
                    f" {len(example.label)} characters and more tokens than the {limit} positions"
                    f" of {backbone.name!r}."
                )


def lost_of(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    cuts: Sequence[int],
    written: Sequence[tuple[str, tuple[int, ...]]] = (),
) -> Lost:
    """Count what tokenising loses.

    Args:
        backbone: gives the tokenizer.
        prompts: as ids.
        cuts: how many characters were cut off each one's text.
        written: answers in free text with their ids; options are checked by `check_answers`.
    """
    unknown = unknown_id(backbone)
    lacking = {
        (gold, ids)
        for gold, ids in {*written}
        if unknown in ids or normalise(decode(backbone, ids)) != normalise(gold)
    }
    return Lost(
        shortened=sum(cut > 0 for cut in cuts),
        characters=max(cuts, default=0),
        unknown=sum(unknown in ids for ids in prompts),
        unwritable=sum(answer in lacking for answer in written),
    )


def unknown_id(backbone: Backbone) -> int | None:
    """Return the id that stands for characters without a token; None where there is none.

    Byte-level tokenizers have a token for every byte, and name one that has other uses.
    """
    tokenizer = backbone.tokenizer
    found = tokenizer.unk_token_id
    assert found is None or isinstance(found, int)
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return None if found in others else found
