"""`amlora learn`: add a skill to a folder, or learn one anew, and say what it did to the others."""

from typing import Annotated, Any, Literal

import typer

from amlora.cli.model import Base, Device, Precision, SkillsFolder, Trust, skills_of
from amlora.cli.outcome import finish
from amlora.cli.output import Json
from amlora.cli.terminal import tell
from amlora.errors import InputError

OPTIONS = {"lora.rank": "--rank", "lora.alpha": "--rank", "lora.targets": "--targets"}
"""The option that gives a setting, where it is not the setting's own name."""


def learn(
    skills: SkillsFolder,
    task: Annotated[str, typer.Option("--task", help="What the skill is called.")],
    data: Annotated[
        str,
        typer.Option(
            "--data", help="Its rows: a table, a folder, a data set on the hub, or quickstart/NAME."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="The base model of a new folder.", show_default="smollm2-135m"
        ),
    ] = None,
    instruction: Annotated[
        str | None, typer.Option("--instruction", help="Stands before every text.")
    ] = None,
    options: Annotated[
        str | None, typer.Option("--options", metavar="A,B", help="The allowed answers.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Column of the text.", show_default="text")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of the answer.", show_default="label")
    ] = None,
    metric: Annotated[
        Literal["exact", "f1", "rouge-l", "loss"] | None,
        typer.Option("--metric", help="How an answer is scored; the data decide by default."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Learn a skill that is there anew, and replace it.")
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Try a few rates first; takes longer.")
    ] = False,
    prompts: Annotated[
        Literal["asked", "any"] | None,
        typer.Option(
            "--prompts",
            help="any: bare texts and other wordings find their skill too, and few prompts are left"
            " to the base model; of a new folder.",
            show_default="asked",
        ),
    ] = None,
    uses: Annotated[
        Literal["auto", "none", "all"] | None,
        typer.Option(
            "--uses", help="Which earlier skills it is learned on top of.", show_default="auto"
        ),
    ] = None,
    combine: Annotated[
        Literal["sum", "attention"] | None,
        typer.Option(
            "--combine", help="How a skill and what it uses are combined.", show_default="sum"
        ),
    ] = None,
    keep_dev: Annotated[
        str | None,
        typer.Option(
            "--keep-dev",
            metavar="N|vectors",
            help="Rows that are kept, to compare later versions on; 0 keeps none.",
            show_default="200",
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            help="Points that an earlier skill may be shown to lose.",
            show_default="2",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Exactly so many steps, and no early stop.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Most passes over the rows.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="The learning rate.")] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", help="Of the skill's LoRA.", show_default="8")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option("--targets", metavar="A,B", help="Projections to adapt, as q_proj,v_proj."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Longest prompt; longer ones are shortened.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Decides every random choice.")] = None,
    base: Base = None,
    device: Device = "auto",
    precision: Precision = "auto",
    trust_remote_code: Trust = False,
    as_json: Json = False,
) -> None:
    """Add a skill to SKILLS, which the first one makes, and report what it did to the others.

    A version that harms an earlier skill is kept as a candidate and not used; the exit status is 3.
    A command that was stopped goes on when it is given again.
    """
    from amlora.skills.settings import LearnSettings, Words

    words = made(
        Words,
        instruction=instruction,
        options=listed(options, "--options"),
        text=text,
        label=label,
        metric=metric,
    )
    settings = made(
        LearnSettings,
        lora=given(rank=rank, targets=listed(targets, "--targets")),
        combine=combine,
        prompts=prompts,
        uses=uses,
        lr=lr,
        epochs=epochs,
        steps=steps,
        keep_dev=kept(keep_dev),
        max_drop=max_drop,
        max_tokens=max_tokens,
        tune=tune,
        seed=seed,
    )

    from amlora.cli.progress import display
    from amlora.engine.train import NonFiniteLoss

    folder = skills_of(skills, base, device, precision, trust_remote_code)
    try:
        with display(verbose=False) as reporter:
            outcome = folder.learn(
                task,
                data,
                model=model,
                words=words,
                settings=settings,
                update=update,
                reporter=reporter,
            )
    except NonFiniteLoss as error:
        # Nobody's fault that a traceback would explain: the message names the step and its rows.
        tell(f"amlora: {error}")
        raise typer.Exit(1) from None
    finish(folder, outcome, as_json)


def given(**values: Any) -> dict[str, Any]:
    """Return what was given; the rest keeps its default."""
    return {name: value for name, value in values.items() if value is not None}


def made(kind: Any, **values: Any) -> Any:
    """Return settings of what was given; an error names the option instead of the setting."""
    from amlora.settings import WrongSetting

    try:
        return kind(**given(**values))
    except WrongSetting as error:
        path = ".".join(map(str, error.path))
        name = next((OPTIONS[known] for known in OPTIONS if path.startswith(known)), None)
        option = name or f"--{path.partition('[')[0].replace('_', '-')}"
        raise InputError(f"{option}{error.text}") from None


def listed(text: str | None, option: str) -> list[str] | None:
    """Return the parts of a list with commas, None where nothing was given."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"{option}: expected a list as in 'a, b', got {text!r}.")
    return parts


def kept(text: str | None) -> int | str | None:
    """Return how many rows are to be kept, or "vectors"; None where nothing was given."""
    if text is None or text == "vectors":
        return text
    if not (text.isascii() and text.isdecimal()):
        raise InputError(f"--keep-dev: expected a number of rows or 'vectors', got {text!r}.")
    return int(text)
