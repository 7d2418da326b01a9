"""Settings of a run of two small tasks, and a model that reads soft vectors."""

import pytest
import torch

from amlora.experiment.settings import RunSettings, settings_from
from amlora.methods.parts.prompts import add_prompts
from small_run import small_settings, write_tasks
from trained import load_base


@pytest.fixture
def task_settings(tmp_path):
    """Return a function that makes settings from a model's folder and a method's table."""
    import tomllib

    write_tasks(tmp_path / "data")

    def make(model, method: dict[str, object]) -> RunSettings:
        raw = tomllib.loads(small_settings(tmp_path / "data", model))
        return settings_from({**raw, "name": "small", "method": method})

    return make


@pytest.fixture
def soft(any_folder):
    """A model with three soft vectors: the model, its embedding, the vectors (3, 48), their ids."""
    backbone = load_base(any_folder)
    embedding = add_prompts(backbone)
    vectors = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    embedding.vectors = lambda: vectors
    return backbone, embedding, vectors, range(embedding.first, embedding.first + 3)
