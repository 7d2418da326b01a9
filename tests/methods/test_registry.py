"""Methods are found by name."""

import pytest

from amlora.errors import InputError
from amlora.methods import METHODS, method_class


def test_every_entry_of_the_table_is_a_method_with_a_docstring():
    from amlora.methods.base import Method

    for name in METHODS:
        assert issubclass(method_class(name), Method)
        assert method_class(name).__doc__


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="unknown method 'am_lra'; did you mean 'am_lora'"):
        method_class("am_lra")
