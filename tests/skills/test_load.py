"""`amlora.load` and `amlora.save`: the whole way from a folder to answers and back."""

import copy
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import pipeline

import amlora
from amlora import files
from amlora.engine.backbone import Backbone, base_of
from amlora.errors import InputError
from amlora.mixture.manifest import KEPT_ROWS, TaskCard
from amlora.mixture.version import read_task_file, verify
from amlora.skills.answer import prompt_for
from amlora.skills.load import LoadedSkills, attach, open_skills, skills_of
from amlora.streams.prompt import build_prompt
from amlora.streams.task import Task
from learned import Folder, extra
from tiny import tiny_llama
from trained import cards, logits, trained


def load(folder: Path, *, base: Path | None = None) -> tuple[Any, Any]:
    """Return model and tokenizer as users get them, where answers repeat bit for bit."""
    return amlora.load(folder, base=base, device="cpu", precision="float32")


def backbone_of(folder: Path, *, base: Path | None = None, version: str | None = None) -> Backbone:
    backbone, _ = open_skills(folder, base=base, version=version, device="cpu", precision="float32")
    return backbone


@pytest.fixture(scope="session")
def learned(any_folder, tmp_path_factory):
    """A trained model of each family, and the folder its skills were saved in."""
    folder = tmp_path_factory.mktemp("learned") / "skills"
    backbone, mixture = trained(any_folder)
    base = base_of(backbone)
    attach(
        backbone.model, LoadedSkills(mixture, base, tuple(cards()), {"metrics": {"average": 0.25}})
    )
    assert amlora.save(backbone.model, folder) == "0001"
    return backbone, folder


@pytest.fixture(scope="session")
def llama_skills(llama_folder, tmp_path_factory):
    """Skills on the decoder-only model."""
    folder = tmp_path_factory.mktemp("llama-skills") / "run" / "skills"
    backbone, mixture = trained(llama_folder)
    attach(backbone.model, LoadedSkills(mixture, base_of(backbone), tuple(cards()), {}))
    amlora.save(backbone.model, folder)
    return folder


def test_a_loaded_model_answers_like_the_trained_one_bit_for_bit(learned):
    backbone, folder = learned
    loaded = backbone_of(folder)
    assert torch.equal(logits(loaded), logits(backbone))


@pytest.mark.parametrize("cache", [True, False])
def test_generate_gives_the_trained_models_tokens(learned, cache):
    backbone, folder = learned
    model, tokenizer = load(folder)
    inputs = tokenizer(["a good film", "the market fell"], padding=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    options = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False}
    expected = backbone.model.generate(**inputs, **options, use_cache=not cache)
    assert torch.equal(model.generate(**inputs, **options, use_cache=cache), expected)


def test_pipelines_take_a_loaded_model(llama_skills):
    model, tokenizer = load(llama_skills)
    write = pipeline("text-generation", model=model, tokenizer=tokenizer)
    answer = write("a good film", max_new_tokens=8, do_sample=False, return_full_text=False)
    tokens = tokenizer("a good film", return_tensors="pt").input_ids
    expected = model.generate(tokens, max_new_tokens=8, do_sample=False)[0, tokens.shape[1] :]
    assert answer == [{"generated_text": tokenizer.decode(expected, skip_special_tokens=True)}]


def test_a_loaded_model_knows_its_tasks_and_scores_and_is_frozen(learned):
    model, _ = load(learned[1])
    assert model.amlora.tasks == tuple(cards())
    assert model.amlora.scores == {"metrics": {"average": 0.25}}
    assert not model.training
    assert not [name for name, weight in model.named_parameters() if weight.requires_grad]


def test_a_runs_folder_is_as_good_as_its_skills(llama_skills):
    of_run, of_skills = (load(f)[0] for f in (llama_skills.parent, llama_skills))
    tokens = torch.arange(5, 25)[None]
    assert torch.equal(of_run(tokens).logits, of_skills(tokens).logits)


def test_skills_load_in_bfloat16_too(llama_skills):
    loaded, _ = open_skills(llama_skills, device="cpu", precision="bfloat16")
    exact = logits(backbone_of(llama_skills))
    assert loaded.model.dtype == torch.bfloat16
    assert 0 < (logits(loaded) - exact).abs().max() < 0.1 * exact.abs().max()


def test_a_base_model_that_moved_is_found_where_it_is_said_to_be(tmp_path, llama_folder):
    old, new, skills = tmp_path / "old", tmp_path / "new", tmp_path / "skills"
    shutil.copytree(llama_folder, old)
    backbone, mixture = trained(old)
    attach(backbone.model, LoadedSkills(mixture, base_of(backbone), tuple(cards()), {}))
    amlora.save(backbone.model, skills)
    old.rename(new)
    with pytest.raises(InputError, match=r"its base model: .*Another place: base="):
        load(skills)
    loaded = backbone_of(skills, base=new)
    assert torch.equal(logits(loaded), logits(backbone))
    assert amlora.save(loaded.model, skills) == "0001"


def test_another_base_model_is_refused(llama_skills, tmp_path):
    other = tiny_llama(tmp_path, seed=3)
    with pytest.raises(InputError, match="not the one that these skills were trained on"):
        load(llama_skills, base=other)


def another_weight(folder: Path, part: str) -> None:
    path = folder / "model.safetensors"
    tensors = files.read_tensors(path)
    name = min(name for name in tensors if part in name)
    tensors[name] = tensors[name].flip(0)
    path.write_bytes(files.tensor_bytes(tensors, {"format": "pt"}))


def another_tokenizer(folder: Path, part: str) -> None:
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text())
    words = stored["model"][part]
    plain = sorted(words, key=lambda word: words[word])[4:]
    words.update(zip(plain, [words[word] for word in reversed(plain)], strict=True))
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("change", "part", "what"),
    [
        (another_weight, "embed_tokens", "weights have"),
        (another_weight, "mlp.up_proj", "weights have"),
        (another_weight, "k_proj", "weights have"),
        (another_tokenizer, "vocab", "tokenizer has"),
    ],
)
def test_a_base_that_differs_where_nothing_is_adapted_is_refused(
    llama_skills, llama_folder, tmp_path, change, part, what
):
    other = shutil.copytree(llama_folder, tmp_path / "other")
    load(llama_skills, base=other)
    change(other, part)
    with pytest.raises(InputError, match=f"its {what} the fingerprint"):
        load(llama_skills, base=other)


def test_saving_a_changed_model_makes_a_version_and_the_old_one_stays(llama_skills, tmp_path):
    skills = shutil.copytree(llama_skills, tmp_path / "skills")
    first = backbone_of(skills)
    before = logits(first)
    for layer in skills_of(first.model).mixture.layers.values():
        layer.bank.w *= -1
    assert amlora.save(first.model, skills, scores={"metrics": {"average": 1.0}}) == "0002"
    assert torch.equal(logits(backbone_of(skills, version="0001")), before)
    second = backbone_of(skills)
    assert torch.equal(logits(second), logits(first))
    assert not torch.equal(logits(second), before)
    assert skills_of(second.model).scores == {"metrics": {"average": 1.0}}


def test_a_copied_model_saves_its_own_skills(llama_skills, tmp_path):
    model, _ = load(llama_skills)
    twin = copy.deepcopy(model)
    for layer in twin.amlora.mixture.layers.values():
        layer.bank.w *= -1
    amlora.save(twin, tmp_path)
    tokens = torch.arange(5, 25)[None]
    loaded, _ = load(tmp_path)
    assert torch.equal(loaded(tokens).logits, twin(tokens).logits)
    assert not torch.equal(loaded(tokens).logits, model(tokens).logits)


def test_save_pretrained_is_refused_and_names_the_way_out(llama_skills, tmp_path):
    model, _ = load(llama_skills)
    with pytest.raises(InputError, match=r"amlora\.save\(model, folder\)"):
        model.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_skills_none_are_saved_or_loaded(tmp_path):
    with pytest.raises(InputError, match="holds no skills"):
        amlora.save(torch.nn.Linear(2, 2), tmp_path)
    with pytest.raises(InputError, match="no skills here"):
        amlora.load(tmp_path)
    for name in ("/no/such/folder", "./skills", "a/b/c"):
        with pytest.raises(InputError, match="no such folder"):
            amlora.load(name)


def test_a_hub_id_that_cannot_be_fetched_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="neither a folder nor skills to fetch") as caught:
        amlora.load("someone/skills@main")
    assert "\n" not in str(caught.value)


def test_a_damaged_folder_is_refused_before_the_base_is_loaded(llama_skills, tmp_path):
    skills = shutil.copytree(llama_skills, tmp_path / "skills")
    path = next(skills.glob("tasks/01-*")) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        amlora.load(skills, base="/no/such/base")


def test_importing_amlora_imports_no_torch_and_names_its_own():
    code = "import sys, amlora; print('torch' in sys.modules, 'load' in dir(amlora))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_amlora_knows_its_version_and_names_no_other():
    assert amlora.__version__ == metadata.version("amlora")
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        amlora.laod  # noqa: B018


def test_trust_in_remote_code_is_off_unless_asked_for(llama_skills):
    backbone = backbone_of(llama_skills)
    assert backbone.settings.trust_remote_code is False


@pytest.mark.parametrize("prefix", ["off", "task", "task+dataset"])
@pytest.mark.parametrize("form", ["full", "blind"])
def test_a_stored_tasks_prompt_is_the_one_of_training(prefix, form):
    words: dict[str, Any] = {
        "name": "copa",
        "instruction": "Which?",
        "options": ("yes", "no"),
        "cue": "A:",
    }
    words |= {"category": "QA", "dataset": "COPA"}
    task = Task(**words, train=(), dev=(), test=())
    card = TaskCard(**words, prefix=prefix, form=form)
    assert prompt_for(card, "Why?") == build_prompt(task, "Why?", prefix=prefix, form=form)


@pytest.fixture
def skilled(llama_folder, tmp_path) -> Folder:
    """Two skills that were learned one by one, the second on top of the first and renamed."""
    folder = Folder(tmp_path / "skills", llama_folder)
    folder.learn("a", extra=extra("a"))
    folder.learn("b", ["a"], extra=extra("b"))
    draft = folder.draft()
    draft.rename("b", "bb")
    folder.write(draft)
    return folder


def test_learned_skills_are_loaded_with_what_tells_their_prompts(skilled):
    backbone, skills = open_skills(skilled.place, device="cpu", precision="float32")
    assert skills.router is not None and len(skills.router.stages) == 2
    assert (skills.mixture.stage_names, skills.mixture.teams) == (["a", "bb"], [(0,), (0, 1)])
    assert [task.name for task in skills.tasks] == ["a", "bb"]
    assert backbone.model(torch.arange(5, 25)[None]).logits.isfinite().all()


def test_saving_learned_skills_again_writes_nothing_and_never_loses_what_lies_beside_them(skilled):
    model, _ = load(skilled.place)
    assert amlora.save(model, skilled.place) == "0003"
    assert amlora.save(model, skilled.place, scores={"metrics": {"average": 0.5}}) == "0004"
    version = verify(skilled.place)
    for skill, name in (("a", "a"), ("bb", "b")):
        kept = read_task_file(skilled.place, version, skill, KEPT_ROWS)
        assert kept == extra(name)[KEPT_ROWS]


def test_a_folder_without_a_version_in_use_names_its_candidates(llama_folder, tmp_path):
    folder = Folder(tmp_path, llama_folder)
    folder.learn("a", publish=False)
    with pytest.raises(InputError, match="no version is in use; candidates: 0001"):
        amlora.load(tmp_path)
    model, _ = amlora.load(tmp_path, version="0001", device="cpu")
    assert skills_of(model).mixture.stage_names == ["a"]
