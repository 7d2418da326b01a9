"""A folder of many skills: loading reads what it needs, and nothing grows faster than the skills.

Nothing is timed: files, bytes and the calls of Python functions are counted.
"""

import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
import torch

from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.mixture.inject import remove
from amlora.mixture.load import load_skills, read_skills

COUNTS = (8, 16, 32)
SLACK = 1.1
"""The second 16 skills may take so many times twice what the 8 before them took."""


@pytest.fixture
def many(bench, llama_folder, tmp_path):
    """Return the benchmark's module, and a folder that grows."""
    module = bench("many_skills")
    settings = ModelSettings(name=str(llama_folder), precision="float32", device="cpu")
    return module, module.Grown(tmp_path / "skills", load_backbone(settings))


def calls(work) -> int:
    """Count the Python functions that are called."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def linear(values: list[int]) -> bool:
    """Tell whether values at COUNTS grow as the skills do, or less."""
    first, second, third = values
    return third - second <= SLACK * 2 * (second - first)


def test_loading_opens_each_file_that_it_needs_once_and_no_other(many):
    module, grown = many
    for _ in range(4):
        grown.add()
    found = Counter(path.name for path in module.opened(grown.load, grown.folder))
    assert found == {
        **{"adapter_model.safetensors": 4, "task.json": 4},
        **dict.fromkeys(("CURRENT", "manifest.json", "stages.safetensors", "scores.json"), 1),
    }


def test_nothing_grows_faster_than_the_skills(many):
    _, grown = many
    measured: dict[str, list[int]] = {}
    for count in COUNTS:
        while len(grown.names) < count - 1:
            grown.add()
        note = {"add": calls(grown.add)}
        assert len(grown.names) == count
        note["load"] = calls(grown.load)
        note["files read"], note["bytes read"] = grown.read_at_load()
        for name, value in note.items():
            measured.setdefault(name, []).append(value)
    assert {name: linear(values) for name, values in measured.items()} == dict.fromkeys(
        measured, True
    ), measured


def test_a_prompt_is_told_by_as_many_calls_among_many_skills(many):
    _, grown = many
    found: list[int] = []
    for count in (2, 16):
        while len(grown.names) < count:
            grown.add()
        stages = read_skills(grown.folder).stages
        assert stages is not None
        vector = torch.zeros(grown.width)
        stages.belief(vector)  # what is made once
        found.append(calls(lambda vector=vector, stages=stages: stages.belief(vector)))
    assert found[1] <= found[0] + 2 * 16


def test_the_memory_of_loaded_skills_grows_as_they_do(many):
    _, grown = many
    held: list[int] = []
    for count in COUNTS:
        while len(grown.names) < count:
            grown.add()
        model = grown.backbone.model
        mixture = load_skills(grown.folder, model, read_skills(grown.folder), base=grown.base)
        held.append(sum(t.numel() for t in mixture.tensors().values()))
        remove(model, mixture)
    assert linear(held)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_curve(bench, power):
    pairs = [(n, 3.0 * n**power) for n in (1, 10, 25, 100)]
    assert bench("many_skills").exponent(pairs) == pytest.approx(power)
    assert linear([round(8 * n**power) for n in COUNTS]) == (power <= 1)
