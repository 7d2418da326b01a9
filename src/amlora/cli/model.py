"""Options of the commands that load a base model."""

from typing import Annotated, Literal

import typer

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
