"""Skills in memory: what is parsed is what was hashed, and values that fit nothing are refused."""

import math
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.io import load_skills, save_skills
from amlora.mixture.layer import MixtureLinear
from amlora.mixture.stored import read_skills
from amlora.skills.load import open_skills
from broken_disk import disk
from signed import change_json, change_tensors, vouch
from trained import cards, load_base, logits, trained
from written import saved

LORA, SELECTOR = "tasks/02-*/adapter_model.safetensors", "versions/*/selector.safetensors"
STAGES, GATES = "versions/*/stages.safetensors", "versions/*/gates.safetensors"
MANIFEST, SCORES, CARD = (
    "versions/*/manifest.json",
    "versions/*/scores.json",
    "tasks/01-*/task.json",
)
A = "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight"
B = A.replace("lora_A", "lora_B")
W = "model.layers.1.self_attn.v_proj.w"


@pytest.fixture(scope="module")
def pristine(llama_folder, tmp_path_factory) -> Path:
    """A folder with one version of two LoRAs."""
    return saved(tmp_path_factory.mktemp("pristine") / "skills", llama_folder)


@pytest.fixture(scope="module")
def kinds(pristine, llama_folder, tmp_path_factory) -> dict[str, Path]:
    """A folder of each kind of skills."""
    place = tmp_path_factory.mktemp("kinds")
    others = {kind: saved(place / kind, llama_folder, kind=kind) for kind in ("staged", "gated")}
    return {"plain": pristine, **others}


@pytest.fixture
def skills(pristine, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "skills"))


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_every_file_is_opened_once(skills):
    opened = Counter()

    def note(number, name, arguments):
        if name == "open":
            opened[arguments[0]] += 1

    with disk(note):
        read_skills(skills)
    assert opened == dict.fromkeys(stored(skills), 1)


def test_a_file_that_is_swapped_after_it_was_checked_is_not_what_is_used(skills, llama_folder):
    read: list[Path] = []

    def swap(number, name, arguments):
        """Flip the last bit of every file that was opened before this one."""
        if name == "open":
            for path in read:
                data = path.read_bytes()
                path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            read[:] = [arguments[0]]

    with disk(swap):
        found = read_skills(skills)
    backbone = load_base(llama_folder)
    load_skills(skills, backbone.model, found, base=base_of(backbone))
    assert torch.equal(logits(backbone), logits(trained(llama_folder, loras=2)[0]))
    with pytest.raises(InputError, match="altered"):
        read_skills(skills)


def put(name: str, change):
    """Change one tensor of a file."""

    def changed(tensors):
        tensors[name] = change(tensors[name])

    return changed


def at(*place: int, value: float):
    """Put a value at a place of a tensor."""

    def changed(tensor):
        tensor[place] = value
        return tensor

    return changed


def uneven(scatter: torch.Tensor) -> torch.Tensor:
    """Return a scatter that is symmetric no longer."""
    scatter[0, 1] += scatter[0, 0]
    return scatter


def indefinite(scatter: torch.Tensor) -> torch.Tensor:
    """Return a symmetric matrix with a negative eigenvalue that no shrinking mends."""
    scatter[0, 1] = scatter[1, 0] = 100 * scatter.trace()
    return scatter


TENSORS = {
    "A of another width": ("plain", LORA, A, lambda t: t[:, 1:], "shape (2, 47)"),
    "A of another rank": ("plain", LORA, A, lambda t: t[:1], "shape (1, 48)"),
    "B of another width": ("plain", LORA, B, lambda t: t[1:], "shape (23, 2)"),
    "A without a dimension": ("plain", LORA, A, lambda t: t[0], "shape (48,)"),
    "float8": ("plain", LORA, A, lambda t: t.to(torch.float8_e4m3fn), "dtype float8_e4m3fn"),
    "complex": ("plain", LORA, B, lambda t: t.to(torch.complex64), "dtype complex64"),
    "int64": ("plain", LORA, A, lambda t: t.long(), "dtype int64"),
    "float16": ("plain", LORA, A, lambda t: t.half(), "dtype float16"),
    "NaN": ("plain", LORA, A, at(0, 0, value=math.nan), "not finite"),
    "infinity": ("plain", LORA, B, at(1, 1, value=-math.inf), "not finite"),
    "selector of another shape": ("plain", SELECTOR, W, lambda t: t[:1], "shape (1, 24)"),
    "selector with NaN": ("plain", SELECTOR, W, at(1, 1, value=math.nan), "not finite"),
    "counts that are no counts": ("staged", STAGES, "stages.counts", torch.Tensor.float, "float32"),
    "a count of 0": ("staged", STAGES, "stages.counts", at(1, value=0), "numbers of prompts"),
    "a negative count": ("staged", STAGES, "stages.counts", at(0, value=-5), "numbers of prompts"),
    "means with NaN": ("staged", STAGES, "stages.means", at(0, 0, value=math.nan), "finite"),
    "variances of another width": (
        "staged",
        STAGES,
        "stages.variances",
        lambda t: t[:, 1:],
        "shape",
    ),
    "a variance of 0": ("staged", STAGES, "stages.variances", at(0, 3, value=0), "above 0"),
    "a limit below 0": ("staged", STAGES, "stages.limits", at(1, value=-1), "distances"),
    "a limit that is NaN": ("staged", STAGES, "stages.limits", at(1, value=math.nan), "distances"),
    "a negative scatter": ("staged", STAGES, "stages.scatter", torch.neg, "diagonal"),
    "an uneven scatter": ("staged", STAGES, "stages.scatter", uneven, "symmetric"),
    "an indefinite scatter": (
        "staged",
        STAGES,
        "stages.scatter",
        indefinite,
        "positive covariance",
    ),
    "a scatter with NaN": ("staged", STAGES, "stages.scatter", at(1, 2, value=math.nan), "finite"),
    "a fourth moment below 0": ("staged", STAGES, "stages.fourth", torch.neg, "at least 0"),
    "a gate of another width": ("gated", GATES, "gates.1.g1", lambda t: t[:, 1:], "shape (5, 47)"),
    "a gate of float64": ("gated", GATES, "gates.0.g3", torch.Tensor.double, "dtype float64"),
    "a gate with NaN": ("gated", GATES, "gates.0.g2", at(0, 0, value=math.nan), "not finite"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_a_tensor_that_fits_nothing_is_refused_and_named(kinds, tmp_path, case):
    kind, file, name, change, told = TENSORS[case]
    folder = Path(shutil.copytree(kinds[kind], tmp_path / "skills"))
    assert read_skills(folder)
    path = change_tensors(folder, file, put(name, change))
    with pytest.raises(InputError) as caught:
        read_skills(folder)
    said = str(caught.value)
    assert str(path) in said and name in said and told in said and "\n" not in said


@pytest.mark.parametrize(
    ("kind", "file", "name"),
    [("plain", SELECTOR, W.replace(".w", ".a")), ("staged", STAGES, "x"), ("gated", GATES, "x")],
)
def test_a_tensor_that_belongs_nowhere_is_refused_and_named(kinds, tmp_path, kind, file, name):
    folder = Path(shutil.copytree(kinds[kind], tmp_path / "skills"))
    path = change_tensors(folder, file, lambda tensors: tensors.update({name: torch.ones(1)}))
    with pytest.raises(InputError, match="unknown") as caught:
        read_skills(folder)
    assert str(path) in str(caught.value) and repr(name) in str(caught.value)


VALUES = {
    **{
        f"alpha {alpha}": (MANIFEST, lambda v, a=alpha: v["loras"][0].update(alpha=a), "alpha")
        for alpha in (1e308, 3e38, 0, -8, 1e-30)
    },
    "a dtype": (MANIFEST, lambda v: v.update(dtype="int64"), "dtype"),
    "no LoRA": (MANIFEST, lambda v: v.update(loras=[]), "at least one LoRA"),
    "a layer twice": (MANIFEST, lambda v: v["targets"].append(v["targets"][0]), "twice"),
    "a row of R": (SCORES, lambda v: v["R"].append([1.0]), "row 1 of R: 1 values, 2 tasks"),
    "a word in R": (SCORES, lambda v: v["R"].append(["x", None]), "R[1][0]"),
    "metrics": (SCORES, lambda v: v.update(metrics=3), "metrics"),
    "another task's card": (CARD, lambda v: v.update(name="x"), "is the card of 'x'"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_fits_nothing_is_refused_and_its_file_named(skills, case):
    file, change, told = VALUES[case]
    path = change_json(skills, file, change)
    with pytest.raises(InputError) as caught:
        read_skills(skills)
    said = str(caught.value)
    assert str(path) in said and told in said and "\n" not in said


@pytest.mark.parametrize("data", [b"[]", b"7", b"null", b"NaN", b'{"R": [[NaN, 1]]}'])
def test_scores_that_are_no_object_are_refused(skills, data):
    path = next(skills.glob(SCORES))
    vouch(skills, path, data)
    with pytest.raises(InputError, match=str(path)):
        read_skills(skills)


def test_loras_of_another_width_than_their_layer_are_refused_and_the_model_left_alone(
    skills, llama_folder
):
    for number in ("01", "02"):
        change_tensors(skills, LORA.replace("02", number), put(A, lambda tensor: tensor[:, 1:]))
    backbone = load_base(llama_folder)
    with pytest.raises(InputError, match=r"01-.*v_proj: width 47 \(a\), but the layer's is 48"):
        load_skills(skills, backbone.model, read_skills(skills), base=base_of(backbone))
    assert not [m for m in backbone.model.modules() if isinstance(m, MixtureLinear)]


@pytest.mark.parametrize(("kind", "told"), [("staged", "stages"), ("gated", "gates")])
def test_what_tells_prompts_must_have_the_models_width(llama_folder, tmp_path, kind, told):
    folder = saved(tmp_path / "skills", llama_folder, kind=kind, width=47)
    with pytest.raises(InputError, match=f"{told} of width 47, but .* vectors of 48"):
        open_skills(folder, device="cpu", precision="float32")


def test_scores_that_could_not_be_read_back_are_not_saved(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder, loras=2)
    for scores in ({"x": math.nan}, {"metrics": {"average": "good"}}, {"R": 3}):
        with pytest.raises(InputError, match="scores"):
            save_skills(tmp_path, mixture, base=base_of(backbone), tasks=cards(2), scores=scores)


def test_an_alpha_that_could_not_be_loaded_is_not_saved(llama_folder, tmp_path):
    backbone, mixture = trained(llama_folder, loras=2)
    for layer in mixture.layers.values():
        layer.bank.alphas[1] = 3e38
    with pytest.raises(InputError, match=r"'mood/of day': alpha / rank must be between"):
        save_skills(tmp_path, mixture, base=base_of(backbone), tasks=cards(2), scores={})
