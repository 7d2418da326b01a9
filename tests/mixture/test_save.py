"""Skills folders: what is saved comes back bit for bit, and versions share what they can."""

import json
import os
import shutil
import threading

import pytest
import torch

from amlora import files
from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.arrow import Arrow
from amlora.mixture.load import load_skills, read_cards, read_skills
from amlora.mixture.manifest import TaskCard
from amlora.mixture.save import save_skills
from amlora.mixture.version import verify
from trained import add_lora, cards, load_base, logits, trained

SCORES = {"R": [[0.0, 0.1, 0.2], [0.9, None, None], [0.8, 0.7, None], [0.5, 0.6, 1.0]]}


def save(folder, backbone, mixture, tasks=None, scores=SCORES):
    tasks = cards() if tasks is None else tasks
    return save_skills(folder, mixture, base=base_of(backbone), tasks=tasks, scores=scores)


def load(folder, base_folder, version=None):
    backbone = load_base(base_folder)
    skills = read_skills(folder, version)
    return backbone, load_skills(folder, backbone.model, skills, base=base_of(backbone))


def moved(mixture, seed):
    """Change all selectors, as learning another task does."""
    generator = torch.Generator().manual_seed(seed)
    for layer in mixture.layers.values():
        layer.bank.w += torch.randn(layer.bank.w.shape, generator=generator)


def times(folder):
    """When each file was last written, in nanoseconds."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize("way", ["attention", "sum", "mean", "arrow"])
def test_loaded_skills_answer_like_the_trained_ones_bit_for_bit(any_folder, tmp_path, way):
    combine = "sum" if way == "arrow" else way
    backbone, mixture = trained(any_folder, combine=combine, gain=combine == "attention")
    if way == "arrow":
        summed = logits(backbone)
        mixture.control.arrow = Arrow(top_k=2, temperature=0.5)
        assert not torch.equal(logits(backbone), summed)
    assert save(tmp_path, backbone, mixture) == "0001"
    loaded, again = load(tmp_path, any_folder)
    assert (again.control.way, again.control.arrow) == (way, mixture.control.arrow)
    assert torch.equal(logits(loaded), logits(backbone))
    assert (logits(loaded) - logits(load_base(any_folder))).abs().max() > 0.1
    assert (again.names, again.shapes()) == (mixture.names, mixture.shapes())
    # In memory it lies like the trained one, and saving it or that one again writes nothing.
    strides = {name: tensor.stride() for name, tensor in mixture.tensors().items()}
    assert {name: tensor.stride() for name, tensor in again.tensors().items()} == strides
    before = times(tmp_path)
    assert save(tmp_path, loaded, again) == save(tmp_path, backbone, mixture) == "0001"
    assert times(tmp_path) == before
    assert read_skills(tmp_path).scores == SCORES


def test_a_new_version_keeps_the_old_tasks_folders(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder, loras=2)
    save(tmp_path, backbone, mixture, cards(2), {})
    old = times(tmp_path / "tasks")
    add_lora(mixture, "Größe", 3, 32.0, seed=9)
    moved(mixture, 1)
    assert save(tmp_path, backbone, mixture) == "0002"
    new = times(tmp_path / "tasks")
    assert {path: new[path] for path in old} == old
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "tasks").iterdir())
    assert names == ["01-topic", "02-mood-of-day", "03-groe"]


def test_an_older_version_can_be_loaded(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    answers = {}
    for version in ("0001", "0002", "0003"):
        answers[version] = logits(backbone)
        assert save(tmp_path, backbone, mixture) == version
        moved(mixture, int(version))
    for version, expected in answers.items():
        assert torch.equal(logits(load(tmp_path, llama_folder, version)[0]), expected)
    for version in ("0009", "0000", "1", "../0001", ""):
        with pytest.raises(InputError, match="there are 0003, 0002, 0001"):
            verify(tmp_path, version)


@pytest.mark.parametrize(("loras", "tasks"), [(1, 3), (3, 1)])
def test_a_lora_may_serve_all_tasks_or_come_without_one(any_folder, tmp_path, loras, tasks):
    backbone, mixture = trained(any_folder, loras=loras, combine="sum")
    save(tmp_path, backbone, mixture, cards(tasks), {})
    loaded, again = load(tmp_path, any_folder)
    assert torch.equal(logits(loaded), logits(backbone))
    assert len(again) == loras
    assert list(read_cards(tmp_path, verify(tmp_path))) == cards(tasks)


def test_a_card_comes_back_with_every_field(llama_folder, tmp_path):
    card = TaskCard(
        name="Topic",
        instruction="",
        options=(),
        cue="Cause:",
        show_options=False,
        category="SC",
        dataset="copa",
        prefix="task+dataset",
        form="blind",
        text_column="body",
        forms=("{title}: {body}",),
    )
    usual = dict(TaskCard(name="", instruction="x", options=("x",)))
    assert all(value != usual[field] for field, value in card)
    backbone, mixture = trained(llama_folder, loras=1)
    save(tmp_path, backbone, mixture, [card], {})
    assert read_cards(tmp_path, verify(tmp_path)) == (card,)


def test_the_readmes_show_the_matrix_and_that_a_lora_alone_is_not_the_mixture(
    llama_folder, tmp_path
):
    save(tmp_path, *trained(llama_folder))
    text = (tmp_path / "versions" / "0001" / "README.md").read_text()
    assert "| after mood/of day | 80.0 | 70.0 | - |" in text
    for path in (tmp_path / "tasks").iterdir():
        assert "The LoRA alone is not the mixture" in (path / "README.md").read_text()


ROWS = {"R": [[0.0, 0.0, 0.0], [0.1, 0.2]]}


@pytest.mark.parametrize(
    ("change", "tasks", "scores", "told"),
    [
        ({"newcomer": -1.0}, cards(), {}, "'Größe' is still on its way in"),
        ({"alpha": 3e38}, cards(), {}, r"'mood/of day': alpha / rank must be between"),
        ({}, [*cards(), *cards(1)], {}, "two tasks are named 'Topic'"),
        ({}, cards(), ROWS, "row 1 of R: 2 values, 3 tasks"),
        ({}, cards(), {"x": float("nan")}, "scores"),
        ({}, cards(), {"metrics": {"average": "good"}}, "scores"),
        ({}, cards(), {"R": 3}, "scores"),
    ],
)
def test_what_could_not_be_read_back_is_not_saved(
    llama_folder, tmp_path, change, tasks, scores, told
):
    backbone, mixture = trained(llama_folder)
    mixture.control.newcomer = change.get("newcomer", 0.0)
    for layer in mixture.layers.values():
        layer.bank.alphas[1] = change.get("alpha", layer.bank.alphas[1])
    with pytest.raises(InputError, match=told):
        save(tmp_path, backbone, mixture, tasks, scores)
    assert not list(tmp_path.iterdir())


def test_a_reader_sees_the_old_version_or_the_new_one(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    written, last = threading.Event(), 12
    failures = []

    def write():
        try:
            for seed in range(2, last + 1):
                moved(mixture, seed)
                save(tmp_path, backbone, mixture)
        except BaseException as error:
            failures.append(error)
        finally:
            written.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [1]
    while not written.is_set():
        seen.append(int(verify(tmp_path).version))
    writer.join()
    assert failures == []
    assert seen == sorted(seen)
    assert verify(tmp_path).version == f"{last:04}"


def test_a_second_writer_is_told_so(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    with files.lock(tmp_path), pytest.raises(InputError, match="another process is writing here"):
        save(tmp_path, backbone, mixture)


class Killed(BaseException):
    """The end of a process, as far as one process can play it to itself."""


def test_a_save_that_dies_at_any_flush_leaves_the_old_version_or_the_new(
    skills, llama_folder, tmp_path, monkeypatch
):
    backbone, mixture = trained(llama_folder, loras=1)  # the second one's folder is not used
    for layer in mixture.layers.values():
        layer.bank.a += 1
    flush, calls = os.fsync, []

    def dying(folder, dies_at):
        calls.clear()

        def fsync(handle):
            calls.append(handle)
            if len(calls) == dies_at:
                raise Killed
            flush(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        return save(folder, backbone, mixture, cards(1), {})

    assert dying(shutil.copytree(skills, tmp_path / "whole"), 0) == "0002"
    versions = []
    for dies_at in range(1, len(calls) + 1):
        folder = shutil.copytree(skills, tmp_path / f"{dies_at}")
        with pytest.raises(Killed):
            dying(folder, dies_at)
        versions.append(verify(folder).version)
        done = dying(folder, 0)
        assert verify(folder).version == done
    assert versions == sorted(versions)
    assert set(versions) == {"0001", "0002"}


def test_what_a_killed_writer_left_is_swept_up(skills, llama_folder):
    (skills / "versions" / "0002").mkdir()
    (skills / "versions" / "0002" / "scores.json").write_text("{")
    stray = next(skills.glob("tasks/01-*")) / f"{files.TEMPORARY}x"
    stray.write_text("")
    done = save(skills, *trained(llama_folder, loras=2), cards(2), {})
    assert (done, verify(skills).version) == ("0002", "0002")
    assert json.loads((skills / "versions" / "0002" / "scores.json").read_text()) == {}


def test_an_altered_task_folder_is_not_written_over(skills, llama_folder):
    backbone, mixture = trained(llama_folder, loras=2, combine="attention")
    path = next(skills.glob("tasks/01-*")) / "task.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"task.json: .*altered|task.json: truncated"):
        save(skills, backbone, mixture, cards(2), {})
    assert path.read_text() == "{}"


def test_nothing_is_written_through_a_link(skills, llama_folder, tmp_path):
    outside = tmp_path / "outside"
    (skills / "tasks").rename(outside)
    (skills / "tasks").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(InputError, match="refuses a link"):
        save(skills, *trained(llama_folder, loras=2), cards(2), {})
    assert sorted(outside.rglob("*")) == before
