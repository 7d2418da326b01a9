"""`amlora predict`: answer texts with what a run, or a skills folder, has learned."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amlora.cli.model import Base, Device, Precision, Trust
from amlora.cli.output import RUNS, ByName, Json, print_json
from amlora.cli.terminal import flush, say, tell
from amlora.errors import InputError
from amlora.printable import json_line, one_line

if TYPE_CHECKING:
    from amlora.skills.answer import Answers

AT_ONCE = 256
"""Texts of a file that are answered together, where each answer is a line."""
NONE = "none"
"""What the base model alone is called where stages are named (`amlora.mixture.route.NONE`)."""


def predict(
    skills: Annotated[
        str, typer.Argument(metavar="SKILLS", help="A run, a skills folder, or one on the hub.")
    ],
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="The texts to answer; -: the lines of stdin."),
    ] = None,
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
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which skill answered, and how sure that is.")
    ] = False,
    base: Base = None,
    device: Device = "auto",
    precision: Precision = "auto",
    trust_remote_code: Trust = False,
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
    as_lines: Annotated[
        bool, typer.Option("--jsonl", help="Print a line of JSON a text, as it is answered.")
    ] = False,
) -> None:
    """Answer texts. The mixture needs no task id; --task only chooses the words round the text."""
    texts = text or []
    check_given(texts, file, raw=raw, task=task, choose=choose)
    if as_json and as_lines:
        raise InputError("--json and --jsonl exclude each other.")
    folder = locate(skills, runs)

    from amlora.mixture.load import read_cards
    from amlora.mixture.version import read_version, steadily
    from amlora.skills.answer import Shortcomings, answer, cards_of, pick_card, tells_texts
    from amlora.skills.find import find_skills

    found = find_skills(folder)
    # Looked up before the model is loaded, so that a wrong name costs no time.
    manifest = steadily(found, lambda: read_version(found))
    by_text = task is None and not raw and tells_texts(manifest.stages)
    cards_there = steadily(found, lambda: read_cards(found, read_version(found)))
    card = (
        None if raw or (by_text and len(cards_there) > 1) else pick_card(cards_there, task, skills)
    )
    if choose and card is not None and not card.options:
        raise InputError(f"--choose: task {card.name!r} has no options; its answers are free text.")

    from amlora.cli.read_texts import STANDARD_INPUT, in_places, lines_as_they_come, read_texts

    file = STANDARD_INPUT if texts == [STANDARD_INPUT] else file
    if as_lines and file == STANDARD_INPUT:
        parts = in_parts(lines_as_they_come(), batch)
    else:
        given = texts if file is None else read_texts(file, card)
        parts = in_parts(given, AT_ONCE if as_lines else len(given))

    from amlora.skills.load import open_skills

    backbone, learned = open_skills(
        found,
        base=base,
        device=device,
        precision=precision,
        trust_remote_code=trust_remote_code,
    )
    counts = Shortcomings()
    for part in parts:
        known = [each for each in part if each is not None]
        cards = [None] * len(known) if raw else cards_of(backbone, learned, known, task, skills)
        limits = {"choose": choose, "batch": batch, "max_new_tokens": max_new_tokens}
        answers, short = answer(backbone, learned, known, cards, **limits)
        counts.add(short)
        answers = in_places(answers, part, None if card is None else card.name)
        if as_json:
            print_json(answers)
        elif as_lines:
            say("\n".join(map(json_line, answers)))
            flush()
        else:
            print_answers(answers, alone=file is None and len(texts) == 1, explain=explain)
    for line in counts.lines(backbone.settings.max_tokens):
        tell(one_line(f"warning: {line}"))


def check_given(
    texts: Sequence[str], file: str | None, *, raw: bool, task: str | None, choose: bool
) -> None:
    """Refuse arguments that do not go together, before anything is read."""
    if not texts and file is None:
        raise InputError("give a TEXT, or --file FILE.")
    if texts and file is not None:
        raise InputError("TEXT and --file exclude each other; give one.")
    if "-" in texts and len(texts) > 1:
        raise InputError("TEXT: '-' stands for the standard input, and for it alone.")
    if raw and task is not None:
        raise InputError("--raw and --task exclude each other.")
    if raw and choose:
        raise InputError("--choose: --raw has no options to choose from.")


def in_parts(texts: Iterable[str | None], size: int) -> Iterator[list[str | None]]:
    """Cut texts into parts of a size; the last one may be smaller."""
    left = iter(texts)
    while part := list(islice(left, size)):
        yield part


def print_answers(answers: "Answers", *, alone: bool, explain: bool) -> None:
    """Print answers; those of several texts as one line each, so that lines stand for texts."""
    for each in answers:
        said = each["answer"] or ""
        say(said if alone else one_line(said))
        if explain and each["text"] is not None:
            say(one_line(f"    {explained(each)}"))


def explained(answer: Mapping[str, Any]) -> str:
    """Say in a line who gave an answer, how sure it is that the text was theirs, and who else."""
    if "stages" not in answer:
        return "nothing is chosen by the text: all LoRAs answer together"
    shares: dict[str, float] = answer["stages"]
    names = {name: "the base model" if name == NONE else name for name in shares}
    who = " and ".join(
        names[name] if share == 1 else f"{names[name]} at {share:.2f}"
        for name, share in shares.items()
    )
    if not (posterior := answer.get("posterior")):
        return f"answered by {who}"
    (first, sure), *others = sorted(posterior.items(), key=lambda pair: -pair[1])
    said = f"answered by {who}; likeliest {first} ({sure:.3f})"
    if others:
        said += f", then {', '.join(f'{name} ({value:.3f})' for name, value in others[:3])}"
    if distance := answer["distance"]:
        said += f"; at {distance:.2f} of the distance at which a text is no longer {first}'s"
    return said


def locate(name: str, runs: Path) -> str | Path:
    """Return a path or hub id as it is, and a run's name, or the start of one, as its folder."""
    from amlora.records.store import find_run, is_packed

    if is_packed(Path(name)):
        raise InputError(f"{name}: in a pack, which holds results and no skills to answer with.")
    if Path(name).exists() or "/" in name or not runs.is_dir():
        return name
    return find_run(name, runs)
