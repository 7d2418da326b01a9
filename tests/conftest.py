"""Fixtures for every test: folders with tiny models of both families, made once a session."""

from pathlib import Path

import pytest

from tiny import tiny_llama, tiny_t5


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory) -> Path:
    """A decoder-only model with grouped-query attention, as a hub folder."""
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory) -> Path:
    """An encoder-decoder model, T5 v1.1-like, as a hub folder."""
    return tiny_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="session", params=["llama", "t5"])
def any_folder(request, llama_folder, t5_folder) -> Path:
    """Each family in turn."""
    return llama_folder if request.param == "llama" else t5_folder
