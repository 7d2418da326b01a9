"""Settings of a run of two small tasks."""

import pytest

from amlora.experiment.config import RunSettings, settings_from
from small_run import small_settings, write_tasks


@pytest.fixture
def task_settings(tmp_path):
    """Return a function that makes settings from a model's folder and a method's table."""
    import tomllib

    write_tasks(tmp_path / "data")

    def make(model, method: dict[str, object]) -> RunSettings:
        raw = tomllib.loads(small_settings(tmp_path / "data", model))
        return settings_from({**raw, "name": "small", "method": method})

    return make
