"""The only place that prints: standard output and error of every command, whatever they are.

Text from data is made harmless here, letters that the terminal's encoding lacks are spelled, and an
output that is closed, full or read no further leads to no traceback.
"""

import codecs
import io
import os
import sys
from typing import TextIO

from amlora.printable import printable, spelled

PLAINER = {  # of our own words, where the encoding lacks them
    "\N{EN DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{DAGGER}": "+",
    "\N{DOUBLE DAGGER}": "++",
    "\N{HORIZONTAL ELLIPSIS}": "...",
}
LACKING = "amlora.lacking"
"""Name of the rule for letters that an encoding lacks."""


def ready() -> None:
    """Make standard input, output and error usable, however the command was called.

    A closed one becomes the null device, so that no file opened later takes its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    codecs.register_error(LACKING, spell_lacking)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=LACKING)


def spell_lacking(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for letters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(PLAINER.get(letter) or spelled(letter) for letter in letters), error.end


def say(text: object = "", *, end: str = "\n") -> None:
    """Print to standard output.

    Raises:
        SystemExit: nobody reads it any more, as in `amlora ls | head -1`; nothing is left to say.
        OSError: it cannot be written, as on a full disk.
    """
    try:
        print(printable(str(text)), end=end)
    except OSError as error:
        end_output(error)


def tell(text: str) -> None:
    """Print a line to standard error; if nobody can read it, the work goes on all the same."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def flush() -> None:
    """Print what is left to be printed to standard output; raises what `say` does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        end_output(error)


def end_output(error: OSError) -> None:
    """Give up standard output after an error, which is raised unless the reader has gone."""
    discard(sys.stdout)
    if isinstance(error, BrokenPipeError):
        raise SystemExit(1) from None
    raise error


def discard(stream: TextIO) -> None:
    """Let what is printed from now on go nowhere, and what Python flushes when it ends as well."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
