"""`amlora predict`: answer texts with what a run, or a skills folder, has learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from amlora.cli.output import RUNS, ByName, Json, print_json
from amlora.cli.terminal import say, tell
from amlora.errors import InputError, nearest
from amlora.printable import one_line

if TYPE_CHECKING:
    from amlora.engine.backbone import Backbone
    from amlora.mixture.manifest import TaskCard
    from amlora.skills.load import Skills
    from amlora.streams.prompt import Prompt


def predict(
    skills: Annotated[
        str, typer.Argument(metavar="SKILLS", help="A run, a skills folder, or one on the hub.")
    ],
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The text to answer.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", help="A table as `run` reads it; .txt: a text a line; -: stdin."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Put this task's words round the text.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Send the text as it is.")] = False,
    choose: Annotated[
        bool, typer.Option("--choose", help="Take the likeliest option instead of generating.")
    ] = False,
    base: Annotated[
        str | None, typer.Option("--base", help="Where the base model is, if it was moved.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the model runs.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option("--precision", help="Of numbers; only float32 on a CPU repeats exactly."),
    ] = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the base model.")
    ] = False,
    batch: Annotated[
        int,
        typer.Option("--batch", min=1, help="Texts at once; more is faster, rounded differently."),
    ] = 1,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens", min=1, help="Cut answers here; by default 50 or the longest option."
        ),
    ] = None,
    runs: ByName = RUNS,
    as_json: Json = False,
) -> None:
    """Answer texts. The mixture needs no task id; --task only chooses the words round the text."""
    if text is None and file is None:
        raise InputError("give a TEXT, or --file FILE.")
    if text is not None and file is not None:
        raise InputError("TEXT and --file exclude each other; give one.")
    if raw and task is not None:
        raise InputError("--raw and --task exclude each other.")
    if raw and choose:
        raise InputError("--choose: --raw has no options to choose from.")
    folder = locate(skills, runs)

    from amlora.mixture.load import read_cards
    from amlora.mixture.version import read_version
    from amlora.skills.find import find_skills

    found = find_skills(folder)
    manifest = read_version(found)
    # Looked up before the model is loaded, so that a wrong name costs no time.
    card = None if raw else pick_task(read_cards(found, manifest), task, skills)
    if choose and card is not None and not card.options:
        raise InputError(f"--choose: task {card.name!r} has no options; its answers are free text.")

    from amlora.cli.read_texts import in_places, read_texts

    texts = [text] if text is not None else read_texts(str(file), card)
    known = [each for each in texts if each is not None]

    from amlora.skills.load import open_skills

    backbone, learned = open_skills(
        found,
        base=base,
        version=manifest.version,
        device=device,
        precision=precision,
        trust_remote_code=trust_remote_code,
    )
    answers, warnings = answer(
        backbone, learned, known, card, choose=choose, batch=batch, max_new_tokens=max_new_tokens
    )
    for line in warnings:
        tell(one_line(f"warning: {line}"))
    answers = in_places(answers, texts)
    if as_json:
        return print_json(answers)
    print_answers([each["answer"] or "" for each in answers], alone=text is not None)


def print_answers(answers: Sequence[str], *, alone: bool) -> None:
    """Print answers; those to a file's texts as one line each, so that lines stand for texts."""
    for each in answers:
        say(each if alone else one_line(each))


def locate(name: str, runs: Path) -> str | Path:
    """Return a path or hub id as it is, and a run's name, or the start of one, as its folder."""
    from amlora.records.store import find_run, is_packed

    if is_packed(Path(name)):
        raise InputError(f"{name}: in a pack, which holds results and no skills to answer with.")
    if Path(name).exists() or "/" in name or not runs.is_dir():
        return name
    return find_run(name, runs)


def pick_task(cards: Sequence["TaskCard"], task: str | None, skills: str) -> "TaskCard":
    """Return the task whose words go round the texts; with one task it need not be named."""
    names = {card.name: card for card in cards}
    if task in names:
        return names[task]
    if task is None and len(cards) == 1:
        return cards[0]
    known = ", ".join(names)
    if task is None:
        raise InputError(f"--task: {skills} learned {known}; name one, or send the text --raw.")
    close = nearest(task, names) or f"; tasks: {known}."
    raise InputError(f"--task: {skills} has no task {task!r}{close}")


def answer(
    backbone: "Backbone",
    learned: "Skills",
    texts: Sequence[str],
    card: "TaskCard | None",
    *,
    choose: bool,
    batch: int,
    max_new_tokens: int | None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Answer the texts with a model and what it has learned; without a card they are sent as is.

    Returns:
        The answers, and warnings: of texts that were shortened, or answers that were cut.
    """
    from amlora.engine.encode import decode, encode_prompts, longest_option
    from amlora.engine.generate import generate_each
    from amlora.engine.likelihood import option_scores
    from amlora.engine.settings import EvaluateSettings
    from amlora.evaluate.lost import lost_lines, together
    from amlora.mixture.route import by_name, noted

    prompts = [prompt_for(card, text) for text in texts]
    name = None if card is None else card.name
    answers: list[dict[str, Any]] = [{"task": name, "text": text} for text in texts]
    read = encode_prompts(backbone, prompts)
    ids = [row for row, _ in read]
    for each, (_, lost) in zip(answers, read, strict=True):
        each |= {"shortened": lost.characters, "unknown": lost.unknown > 0}
    counts = {"given": (together([lost for _, lost in read]), len(texts))}
    warnings = lost_lines("predict", counts, backbone.settings.max_tokens)
    if learned.router is not None:
        for each, row in zip(answers, ids, strict=True):
            route, belief = learned.router.read(row)
            if (named := by_name(route, learned.mixture.names)) is not None:
                each |= {"stages": named, **noted(belief, learned.mixture.names)}
    options = () if card is None else card.options
    longest = longest_option(backbone, prompt_for(card, ""), options)
    if choose and card is not None:
        check_room(backbone, ids, longest, f"--choose: an option of {longest} tokens")
        most = EvaluateSettings().tokens_per_batch
        scores = option_scores(
            backbone, prompts, card.options, tokens_per_batch=most, router=learned.router
        ).softmax(-1)
        for each, row in zip(answers, scores.tolist(), strict=True):
            each["answer"] = card.options[row.index(max(row))]
            each["shares"] = dict(zip(card.options, row, strict=True))
        return answers, warnings
    limit = max_new_tokens or max(EvaluateSettings().max_new_tokens, longest)
    check_room(backbone, ids, limit, f"--max-new-tokens: {limit}")
    made = generate_each(backbone, ids, max_new_tokens=limit, batch=batch)
    for each, new in zip(answers, made, strict=True):
        each |= {"answer": decode(backbone, new).strip(), "ended": len(new) < limit}
    if cut := sum(not each["ended"] for each in answers):
        warnings.append(
            f"predict: {cut} of {len(answers)} answers had not ended after {limit} tokens;"
            " --max-new-tokens allows more."
        )
    return answers, warnings


def check_room(
    backbone: "Backbone", prompts: Sequence[Sequence[int]], new: int, asked: str
) -> None:
    """Refuse answers of `new` tokens for which a prompt leaves too few positions."""
    from amlora.engine.backbone import positions

    limit = positions(backbone.model.config)
    if limit is None:
        return
    for number, prompt in enumerate(prompts, start=1):
        room = limit - (len(prompt) if backbone.family == "decoder-only" else 0)
        if new > room:
            raise InputError(
                f"{asked}, but {backbone.name} has {limit} positions and text {number} takes"
                f" {len(prompt)} of them with its words; at most {room}."
            )


def prompt_for(card: "TaskCard | None", text: str) -> "Prompt":
    """Put a text into a task's words, or leave it alone."""
    from amlora.streams.prompt import Prompt, build_prompt
    from amlora.streams.task import Task

    if card is None:
        return Prompt("", text, "")
    words = {name: value for name, value in card if name not in ("prefix", "form")}
    task = Task(train=(), dev=(), test=(), **words)
    return build_prompt(task, text, prefix=card.prefix, form=card.form)
