"""Damaged base models: one line that says what is wrong, or a model that is whole."""

import resource
import shutil
from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.engine.backbone import Backbone
from amlora.engine.generate import generate_each
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from hostile import check, ending
from model_damage import damage_folder, damage_gguf
from tiny import tiny_gguf
from trained import logits


def load(path: Path, seed: int) -> Backbone:
    torch.manual_seed(seed)  # of weights that are missing
    settings = ModelSettings(name=str(path), precision="float32", device="cpu", max_tokens=32)
    return load_backbone(settings)


def outcome(path: Path, seed: int) -> str:
    """Return how a damaged model ends: whole, refused in one line of ours, or as must not be."""

    def answers() -> None:
        try:
            first, second = load(path, 2 * seed), load(path, 2 * seed + 1)
        except InputError as error:
            line = str(error)
            assert line.startswith(("model.", "GGUF")) and len(line) < 1000, line[:300]
            raise
        found = logits(first)
        assert found.isfinite().all()
        assert torch.equal(found, logits(second)), "some weights are random"
        generate_each(first, [(5, 6, 7)], max_new_tokens=3)

    return ending(answers)


def damaged(sources: list[Path], seeds: range, to: Path) -> dict[str, str]:
    """Damage copies of models, folders or GGUF files; return how each ends."""
    outcomes: dict[str, str] = {}
    for seed in seeds:
        source = sources[seed % len(sources)]
        copy = to / f"{seed}{source.suffix}"
        if source.is_dir():
            name = damage_folder(shutil.copytree(source, copy), seed)
        else:
            name = damage_gguf(Path(shutil.copy(source, copy)), seed)
        outcomes[f"{name}:{source.name}:{seed}"] = outcome(copy, seed)
        files.remove(copy)
    return outcomes


@pytest.fixture(scope="session")
def folders(llama_folder, t5_folder) -> list[Path]:
    return [llama_folder, t5_folder]


def test_a_damaged_model_is_whole_or_refused_in_one_line(folders, tmp_path):
    check(damaged(folders, range(13), tmp_path))


def test_a_damaged_gguf_file_is_whole_or_refused_in_one_line(tmp_path):
    check(damaged([tiny_gguf(tmp_path / "whole.gguf")], range(4), tmp_path))


@pytest.mark.slow
def test_many_damaged_models_are_whole_or_refused_in_one_line(folders, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(damaged(folders, range(13, 263), tmp_path))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"peak memory grew by {grown >> 10} MiB")
    assert grown < 3 << 20  # KiB


@pytest.mark.slow
def test_many_damaged_gguf_files_are_whole_or_refused_in_one_line(tmp_path):
    check(damaged([tiny_gguf(tmp_path / "whole.gguf")], range(4, 74), tmp_path))
