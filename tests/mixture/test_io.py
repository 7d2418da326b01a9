"""Skills folders: what is saved comes back bit for bit, and versions share what they can."""

import json
import threading

import pytest
import torch

from amlora import files
from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.formats import typed
from amlora.mixture.folders import card_bytes
from amlora.mixture.io import load_skills, save_skills
from amlora.mixture.layer import MixtureLinear
from amlora.mixture.manifest import TaskCard, verify
from amlora.mixture.stored import read_cards, read_scores, read_skills
from tiny import tiny_llama
from trained import add_lora, cards, load_base, logits, trained

SCORES = {"R": [[0.0, 0.1, 0.2], [0.9, None, None], [0.8, 0.7, None], [0.5, 0.6, 1.0]]}


def save(folder, backbone, mixture, tasks=None, scores=SCORES):
    base = base_of(backbone)
    return save_skills(
        folder, mixture, base=base, tasks=cards() if tasks is None else tasks, scores=scores
    )


def load(folder, base_folder, version=None):
    backbone = load_base(base_folder)
    skills = read_skills(folder, version)
    mixture = load_skills(folder, backbone.model, skills, base=base_of(backbone))
    return backbone, mixture


def moved(mixture, seed):
    """Change all selectors, as learning another task does."""
    generator = torch.Generator().manual_seed(seed)
    for layer in mixture.layers.values():
        layer.bank.w += torch.randn(layer.bank.w.shape, generator=generator)


def times(folder):
    """When each file was last written, in nanoseconds."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize("combine", ["attention", "sum", "mean"])
def test_loaded_skills_answer_like_the_trained_ones_bit_for_bit(any_folder, tmp_path, combine):
    backbone, mixture = trained(any_folder, combine=combine, gain=combine == "attention")
    save(tmp_path / "skills", backbone, mixture)
    loaded, again = load(tmp_path / "skills", any_folder)
    assert torch.equal(logits(loaded), logits(backbone))
    assert (again.names, again.shapes()) == (mixture.names, mixture.shapes())


def test_the_mixture_is_heard_in_those_answers(any_folder):
    with_mixture, _ = trained(any_folder)
    assert (logits(with_mixture) - logits(load_base(any_folder))).abs().max() > 0.1


def test_a_loaded_mixture_lies_in_memory_like_the_trained_one(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    _, again = load(tmp_path, llama_folder)
    strides = {name: tensor.stride() for name, tensor in mixture.tensors().items()}
    assert {name: tensor.stride() for name, tensor in again.tensors().items()} == strides


def test_saving_the_same_again_writes_nothing(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    before = times(tmp_path)
    assert save(tmp_path, backbone, mixture) == "0001"
    assert times(tmp_path) == before


def test_what_was_loaded_is_what_was_saved(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    loaded, again = load(tmp_path, llama_folder)
    assert save(tmp_path, loaded, again) == "0001"


def test_a_new_version_keeps_the_old_tasks_folders(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder, loras=2)
    save(tmp_path, backbone, mixture, cards(2), {})
    old = times(tmp_path / "tasks")
    add_lora(mixture, "Größe", 3, 32.0, seed=9)
    moved(mixture, 1)
    assert save(tmp_path, backbone, mixture) == "0002"
    new = times(tmp_path / "tasks")
    assert len(list((tmp_path / "tasks").iterdir())) == 3
    assert {path: new[path] for path in old} == old


def test_an_older_version_can_be_loaded(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    answers = {}
    for version in ("0001", "0002", "0003"):
        answers[version] = logits(backbone)
        assert save(tmp_path, backbone, mixture) == version
        moved(mixture, int(version))
    for version, expected in answers.items():
        assert torch.equal(logits(load(tmp_path, llama_folder, version)[0]), expected)


@pytest.mark.parametrize("version", ["0009", "0000", "1", "../0001", ""])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    llama_folder, tmp_path, version
):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    moved(mixture, 1)
    save(tmp_path, backbone, mixture)
    with pytest.raises(InputError, match="there are 0002, 0001"):
        verify(tmp_path, version)


def test_one_lora_may_serve_all_tasks(any_folder, tmp_path):
    backbone, mixture = trained(any_folder, loras=1, combine="sum")
    save(tmp_path, backbone, mixture)
    loaded, again = load(tmp_path, any_folder)
    manifest = verify(tmp_path)
    assert torch.equal(logits(loaded), logits(backbone))
    assert again.names == ["Topic"]
    assert list(read_cards(tmp_path, manifest)) == cards()


def test_a_lora_may_come_without_a_task(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture, cards(1), {})
    loaded, again = load(tmp_path, llama_folder)
    assert torch.equal(logits(loaded), logits(backbone))
    assert len(again) == 3
    assert list(read_cards(tmp_path, verify(tmp_path))) == cards(1)


def test_a_card_without_columns_of_its_own_is_written_as_before_there_were_any():
    card = TaskCard(name="topic", instruction="Which?", options=("a",))
    written = json.loads(card_bytes(card))
    assert "forms" not in written and "text_column" not in written
    assert typed("", written, TaskCard) == card


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
    assert all(
        value != getattr(TaskCard(name="", instruction="x", options=("x",)), field)
        for field, value in card
    )
    backbone, mixture = trained(llama_folder, loras=1)
    save(tmp_path, backbone, mixture, [card], {})
    assert read_cards(tmp_path, verify(tmp_path)) == (card,)


def test_scores_come_back(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    assert read_scores(tmp_path, verify(tmp_path)) == SCORES


def test_names_of_tasks_make_safe_names_of_folders(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "tasks").iterdir())
    assert names == ["01-topic", "02-mood-of-day", "03-groe"]


def test_the_model_card_shows_the_matrix(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    text = (tmp_path / "versions" / "0001" / "README.md").read_text()
    assert "| after mood/of day | 80.0 | 70.0 | - |" in text


def test_a_matrix_that_does_not_fit_the_tasks_is_refused(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    with pytest.raises(InputError, match="row 1 of R: 2 values, 3 tasks"):
        save(tmp_path, backbone, mixture, scores={"R": [[0.0, 0.0, 0.0], [0.1, 0.2]]})


def test_a_loras_readme_says_that_alone_it_is_not_the_mixture(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    for path in (tmp_path / "tasks").iterdir():
        assert "The LoRA alone is not the mixture" in (path / "README.md").read_text()


def test_two_tasks_of_one_name_are_refused(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    with pytest.raises(InputError, match="two tasks are named 'Topic'"):
        save(tmp_path, backbone, mixture, [*cards(), *cards(1)])


def test_a_lora_on_its_way_in_is_not_saved(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    mixture.control.newcomer = -1.0
    with pytest.raises(InputError, match="'Größe' is still on its way in"):
        save(tmp_path, backbone, mixture)


def test_another_model_of_the_same_shape_is_refused_and_left_alone(
    llama_folder, tmp_path, tmp_path_factory
):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    other = tiny_llama(tmp_path_factory.mktemp("other"), seed=1)
    foreign = load_base(other)
    with pytest.raises(InputError, match="not the one that these skills were trained on"):
        load_skills(tmp_path, foreign.model, read_skills(tmp_path), base=base_of(foreign))
    assert not [m for m in foreign.model.modules() if isinstance(m, MixtureLinear)]


def test_a_model_of_another_kind_is_refused(llama_folder, t5_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    with pytest.raises(InputError, match=r"no plain linear layer 'model\.layers\.0"):
        load(tmp_path, t5_folder)


def test_a_model_that_holds_a_mixture_already_is_refused(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder)
    save(tmp_path, backbone, mixture)
    with pytest.raises(InputError, match="no plain linear layer"):
        load_skills(tmp_path, backbone.model, read_skills(tmp_path), base=base_of(backbone))


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
