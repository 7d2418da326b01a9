"""The command line, run in this process."""

import io
from contextlib import redirect_stderr, redirect_stdout

import pytest

from amlora.cli.main import main


def amlora(*words: object) -> tuple[int, str, str]:
    """Run `amlora`; return exit status, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert isinstance(left.value.code, int)
    return left.value.code, out.getvalue(), err.getvalue()


def said(*words: object) -> str:
    """Run `amlora`, which must succeed; return what it printed."""
    status, out, err = amlora(*words)
    assert status == 0, err
    return out
