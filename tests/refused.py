"""What a caller's mistake is told."""

from collections.abc import Callable
from typing import Any

import pytest

from amlora.errors import InputError


def refusal(call: Callable[..., object], *given: Any, **named: Any) -> str:
    """Return what a call is refused with: one line, which can be written."""
    with pytest.raises(InputError) as caught:
        call(*given, **named)
    said = str(caught.value)
    assert "\n" not in said
    said.encode()
    return said
