"""The way in: from the first moment on a signal is one line, before anything else is imported."""

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would take as long to import as all of this
    from collections.abc import Sequence
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130


def main(arguments: "Sequence[str] | None" = None) -> None:
    """Run the command line and exit; `arguments` are those after the program's name."""
    if arguments is not None:
        from amlora.cli.start import start

        start(arguments)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, leave)
    from amlora.cli.start import show_fault, start

    sys.excepthook = show_fault
    try:
        start(sys.argv[1:])
    finally:
        for number in heard:  # what Python does when it ends is of no interest to anybody
            signal.signal(number, signal.SIG_DFL)


def leave(number: int, frame: "FrameType | None") -> None:
    """End at once; nothing has begun, and nothing can be relied on."""
    try:
        os.write(2, b"amlora: interrupted.\n")
    finally:
        os._exit(INTERRUPTED)
