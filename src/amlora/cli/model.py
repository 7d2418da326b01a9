"""Options of the commands that load a base model, and the skills folder that they load it for."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from amlora.skills.skills import Skills

SkillsFolder = Annotated[str, typer.Argument(metavar="SKILLS", help="A skills folder.")]
Base = Annotated[
    str | None, typer.Option("--base", help="Where the base model is, if it was moved.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the model runs.")
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option("--precision", help="Of numbers; only float32 on a CPU repeats exactly."),
]
Trust = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with the base model.")
]


def skills_of(
    folder: str,
    base: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    trust: bool = False,
) -> "Skills":
    """Return the skills folder; nothing is read yet."""
    from amlora.skills.skills import Skills

    return Skills(folder, base=base, device=device, precision=precision, trust_remote_code=trust)
