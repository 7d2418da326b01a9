"""Damaged base models: one line that says what is wrong, or a model that is whole."""

import resource
import shutil
import traceback
from collections import Counter
from pathlib import Path

import pytest
import torch

from amlora.engine.backbone import Backbone
from amlora.engine.generate import generate_each
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from hostile import Hang, in_time
from model_damage import damage_folder, damage_gguf
from tiny import tiny_gguf
from trained import logits


def load(path: Path, seed: int) -> Backbone:
    torch.manual_seed(seed)  # of weights that are missing
    settings = ModelSettings(name=str(path), precision="float32", device="cpu", max_tokens=32)
    return load_backbone(settings)


def outcome(path: Path, seed: int) -> str:
    """Return what becomes of a damaged model: "refused", "loaded", or what must not be."""
    try:
        with in_time():
            first, second = load(path, 2 * seed), load(path, 2 * seed + 1)
            answers = logits(first)
            if not answers.isfinite().all():
                return "answers are not finite"
            if not torch.equal(answers, logits(second)):
                return "some weights are random"
            generate_each(first, [(5, 6, 7)], max_new_tokens=3)
            return "loaded"
    except InputError as error:
        line = str(error)
        whole = line.startswith(("model.", "GGUF")) and "\n" not in line and len(line) < 1000
        return "refused" if whole else f"not one line of ours: {line[:300]!r}"
    except (Exception, Hang):
        return traceback.format_exc()


def check(outcomes: dict[str, str]) -> None:
    """Print how many there are of each outcome, and fail for those that must not be."""
    print(Counter(each.splitlines()[0] for each in outcomes.values()))
    print(Counter((name.split(":")[0], each.splitlines()[0]) for name, each in outcomes.items()))
    wrong = {name: each for name, each in outcomes.items() if each not in ("refused", "loaded")}
    assert not wrong, "\n\n".join(f"{name}: {each}" for name, each in wrong.items())


def damaged_folders(folders: list[Path], seeds: range, to: Path) -> dict[str, str]:
    outcomes: dict[str, str] = {}
    for seed in seeds:
        source = folders[seed % len(folders)]
        copy = shutil.copytree(source, to / f"{seed}")
        name = damage_folder(copy, seed)
        outcomes[f"{name}:{source.name}:{seed}"] = outcome(copy, seed)
        shutil.rmtree(copy)
    return outcomes


def damaged_gguf(seeds: range, to: Path) -> dict[str, str]:
    source = tiny_gguf(to / "whole.gguf")
    outcomes: dict[str, str] = {}
    for seed in seeds:
        copy = Path(shutil.copy(source, to / f"{seed}.gguf"))
        name = damage_gguf(copy, seed)
        outcomes[f"{name}:gguf:{seed}"] = outcome(copy, seed)
        copy.unlink()
    return outcomes


@pytest.fixture(scope="session")
def folders(llama_folder, t5_folder) -> list[Path]:
    return [llama_folder, t5_folder]


def test_a_damaged_model_is_whole_or_refused_in_one_line(folders, tmp_path):
    check(damaged_folders(folders, range(13), tmp_path))


def test_a_damaged_gguf_file_is_whole_or_refused_in_one_line(tmp_path):
    check(damaged_gguf(range(4), tmp_path))


@pytest.mark.slow
def test_many_damaged_models_are_whole_or_refused_in_one_line(folders, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(damaged_folders(folders, range(13, 263), tmp_path))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"peak memory grew by {grown >> 10} MiB")
    assert grown < 3 << 20  # KiB


@pytest.mark.slow
def test_many_damaged_gguf_files_are_whole_or_refused_in_one_line(tmp_path):
    check(damaged_gguf(range(4, 74), tmp_path))
