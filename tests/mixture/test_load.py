"""Damaged and foreign skills folders: every one is refused, the file named, the model left alone.

What is parsed is what was hashed, and values that fit nothing are refused too.
"""

import math
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.layer import MixtureLinear
from amlora.mixture.load import load_skills, read_skills
from amlora.mixture.manifest import FORMAT
from amlora.mixture.version import verify
from amlora.skills.load import open_skills
from broken_disk import disk
from refused import refusal
from signed import change_json, change_tensors, vouch
from tiny import tiny_llama
from trained import load_base, logits, trained
from written import KINDS, saved

CUTS, FLIPS = 64, 16  # of each file
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


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def complaint(folder: Path, path: Path, read=verify) -> str:
    """What is said of a folder, in one line; it names the damaged file."""
    said = refusal(read, folder)
    # A flip in CURRENT can make it name another version or another hash.
    assert str(path) in said or path.name == "CURRENT"
    return said


def test_every_truncation_addition_flip_loss_link_and_pipe_is_refused_and_named(skills, tmp_path):
    chance = random.Random(0)
    outside = tmp_path / "outside"
    for path in stored(skills):
        data = path.read_bytes()
        for length in {len(data) * part // CUTS for part in range(CUTS)} | {len(data) - 1}:
            path.write_bytes(data[:length])
            complaint(skills, path)
        for bit in chance.sample(range(8 * len(data)), FLIPS):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            complaint(skills, path)
        path.unlink()
        assert "no such file" in complaint(skills, path)
        outside.write_bytes(data)
        path.symlink_to(outside)
        assert "a link" in complaint(skills, path)
        path.unlink()
        path.write_bytes(data + b"\n")
        longer = complaint(skills, path)
        assert "the most that are read of it" in longer or "altered" in longer
        path.unlink()
        os.mkfifo(path)  # nobody waits for its other end
        assert "a pipe" in complaint(skills, path)
        path.unlink()
        outside.replace(path)
    assert verify(skills).version == "0001"


@pytest.mark.parametrize("name", ["tasks", "versions", "versions/0001", "tasks/01-*"])
def test_a_folder_that_is_a_link_is_refused_and_named(skills, tmp_path, name):
    path = next(skills.glob(name))
    outside = tmp_path / "outside"
    path.rename(outside)
    assert "no such folder" in complaint(skills, path)
    path.symlink_to(outside)
    assert "refuses a link" in complaint(skills, path)


@pytest.mark.parametrize("where", ["versions/0001", "tasks/01-*", "tasks/02-*"])
def test_a_foreign_file_in_a_folder_is_refused_and_one_beside_them_is_nobodys_business(
    skills, where
):
    (skills / ".gitattributes").write_text("")
    assert verify(skills)
    path = next(skills.glob(where)) / "pytorch_model.bin"
    path.write_bytes(b"")
    assert "pytorch_model.bin: foreign" in complaint(skills, path)


def stated(**entries):
    """Change what the manifest states."""
    return lambda value: value.update(entries)


def first_lora(**entries):
    return lambda value: value["loras"][0].update(entries)


ENTRY = {"size": 0, "sha256": "0" * 64}
VALUES = {
    **{
        f"the path {path}": (
            MANIFEST,
            lambda v, p=path: v["files"].update({p: ENTRY}),
            f"refuses the path {path!r}",
        )
        for path in ("/etc/passwd", "../x", "tasks/../../x", "versions/0001/../x", "CURRENT")
    },
    **{
        f"the folder {path}": (MANIFEST, first_lora(folder=path), f"refuses the folder {path!r}")
        for path in ("/etc", "..", "tasks/..", "tasks/01-a-00000000/x", "versions/0001")
    },
    **{
        f"alpha {alpha}": (MANIFEST, first_lora(alpha=alpha), "alpha")
        for alpha in (1e308, 3e38, 0, -8, 1e-30)
    },
    "a file left out": (
        MANIFEST,
        lambda v: v["files"].pop("versions/0001/selector.safetensors"),
        "says nothing about 'versions/0001/selector.safetensors'",
    ),
    "a newer format": (MANIFEST, stated(format=FORMAT + 1, news=1), f"amlora reads {FORMAT}"),
    "an older format": (MANIFEST, stated(format=FORMAT - 1, news=1), f"amlora reads {FORMAT}"),
    "a word for a format": (MANIFEST, stated(format="one"), "format"),
    "an unknown name": (MANIFEST, stated(news=1), "news"),
    "a way to combine": (MANIFEST, stated(combine="max"), "combine"),
    "another version": (MANIFEST, stated(version="0002"), "says that it is version '0002'"),
    "targets": (MANIFEST, stated(targets=5), "targets"),
    "a dtype": (MANIFEST, stated(dtype="int64"), "dtype"),
    "no LoRA": (MANIFEST, stated(loras=[]), "at least one LoRA"),
    "a layer twice": (MANIFEST, lambda v: v["targets"].append(v["targets"][0]), "twice"),
    "a rank": (MANIFEST, first_lora(rank=5), "shape (4, 48), expected (5, any)"),
    "a row of R": (SCORES, lambda v: v["R"].append([1.0]), "row 1 of R: 1 values, 2 tasks"),
    "a word in R": (SCORES, lambda v: v["R"].append(["x", None]), "R[1][0]"),
    "metrics": (SCORES, stated(metrics=3), "metrics"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_fits_nothing_is_refused_and_its_file_named(skills, case):
    file, change, told = VALUES[case]
    path = change_json(skills, file, change)
    if case == "a rank":
        path = next(skills.glob(LORA.replace("02", "01")))
    assert told in complaint(skills, path, read_skills)


@pytest.mark.parametrize("data", [b"[]", b"7", b"null", b"NaN", b'{"R": [[NaN, 1]]}'])
@pytest.mark.parametrize("file", [SCORES, MANIFEST])
def test_what_is_no_object_is_refused(skills, file, data):
    path = next(skills.glob(file))
    vouch(skills, path, data)
    complaint(skills, path, read_skills)


def test_a_version_cannot_follow_itself(skills):
    change_json(skills, MANIFEST, stated(previous={"version": "0001", "sha256": "0" * 64}))
    with pytest.raises(InputError, match="version 0001 follows '0001'"):
        verify(skills)


FOR_OTHERS = {"README.md", "adapter_config.json", "learned.json", "kept.jsonl", "kept.safetensors"}


@pytest.mark.parametrize("kind", KINDS)
def test_loading_opens_each_file_that_it_needs_once_and_no_other(kinds, kind):
    skills = kinds[kind]
    opened = Counter()

    def note(number, name, arguments):
        if name == "open":
            opened[arguments[0]] += 1

    with disk(note):
        read_skills(skills)
    needed = [path for path in stored(skills) if path.name not in FOR_OTHERS]
    assert opened == dict.fromkeys(needed, 1)


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


NAN = math.nan
TENSORS = [
    ("plain", LORA, A, lambda t: t[:, 1:], "shape (2, 47)"),
    ("plain", LORA, A, lambda t: t[:1], "shape (1, 48)"),
    ("plain", LORA, B, lambda t: t[1:], "shape (23, 2)"),
    ("plain", LORA, A, lambda t: t[0], "shape (48,)"),
    ("plain", LORA, A, lambda t: t.to(torch.float8_e4m3fn), "dtype float8_e4m3fn"),
    ("plain", LORA, B, lambda t: t.to(torch.complex64), "dtype complex64"),
    ("plain", LORA, A, lambda t: t.long(), "dtype int64"),
    ("plain", LORA, A, lambda t: t.half(), "dtype float16"),
    ("plain", LORA, A, at(0, 0, value=NAN), "not finite"),
    ("plain", LORA, B, at(1, 1, value=-math.inf), "not finite"),
    ("plain", SELECTOR, W, lambda t: t[:1], "shape (1, 24)"),
    ("plain", SELECTOR, W, at(1, 1, value=NAN), "not finite"),
    ("staged", STAGES, "stages.counts", torch.Tensor.float, "float32"),
    ("staged", STAGES, "stages.counts", at(1, value=0), "numbers of prompts"),
    ("staged", STAGES, "stages.counts", at(0, value=-5), "numbers of prompts"),
    ("staged", STAGES, "stages.means", at(0, 0, value=NAN), "finite"),
    ("staged", STAGES, "stages.variances", lambda t: t[:, 1:], "shape"),
    ("staged", STAGES, "stages.variances", at(0, 3, value=0), "above 0"),
    ("staged", STAGES, "stages.limits", at(1, value=-1), "distances"),
    ("staged", STAGES, "stages.limits", at(1, value=NAN), "distances"),
    ("staged", STAGES, "stages.scatter", torch.neg, "diagonal"),
    ("staged", STAGES, "stages.scatter", uneven, "symmetric"),
    ("staged", STAGES, "stages.scatter", indefinite, "positive covariance"),
    ("staged", STAGES, "stages.scatter", at(1, 2, value=NAN), "finite"),
    ("staged", STAGES, "stages.fourth", torch.neg, "at least 0"),
    ("gated", GATES, "gates.1.g1", lambda t: t[:, 1:], "shape (5, 47)"),
    ("gated", GATES, "gates.0.g3", torch.Tensor.double, "dtype float64"),
    ("gated", GATES, "gates.0.g2", at(0, 0, value=NAN), "not finite"),
]


@pytest.mark.parametrize(("kind", "file", "name", "change", "told"), TENSORS)
def test_a_tensor_that_fits_nothing_is_refused_and_named(
    kinds, tmp_path, kind, file, name, change, told
):
    folder = Path(shutil.copytree(kinds[kind], tmp_path / "skills"))
    assert read_skills(folder)
    said = complaint(folder, change_tensors(folder, file, put(name, change)), read_skills)
    assert name in said and told in said


@pytest.mark.parametrize(
    ("kind", "file", "name"),
    [("plain", SELECTOR, W.replace(".w", ".a")), ("staged", STAGES, "x"), ("gated", GATES, "x")],
)
def test_a_tensor_that_belongs_nowhere_is_refused_and_named(kinds, tmp_path, kind, file, name):
    folder = Path(shutil.copytree(kinds[kind], tmp_path / "skills"))
    path = change_tensors(folder, file, lambda tensors: tensors.update({name: torch.ones(1)}))
    said = complaint(folder, path, read_skills)
    assert "unknown" in said and repr(name) in said


@pytest.mark.parametrize(
    ("name", "file", "told"),
    [(A, LORA, r"v_proj\.a: shape \(6, 47\)"), (W, SELECTOR, r"v_proj\.w: shape \(2, 2\)")],
)
def test_tensors_of_another_width_than_their_layer_leave_the_model_alone(
    skills, llama_folder, name, file, told
):
    width = 47 if name == A else 2
    for pattern in {file, file.replace("02", "01")}:
        change_tensors(skills, pattern, put(name, lambda tensor: tensor[:, :width]))
    refused(skills, load_base(llama_folder), told)


def refused(folder, backbone, told):
    """Loading is refused, and the model is left without a mixture."""
    with pytest.raises(InputError, match=told):
        load_skills(folder, backbone.model, read_skills(folder), base=base_of(backbone))
    assert not [m for m in backbone.model.modules() if isinstance(m, MixtureLinear)]


def test_another_model_is_refused_and_left_alone(skills, llama_folder, t5_folder, tmp_path):
    other = load_base(tiny_llama(tmp_path, seed=1))
    refused(skills, other, "not the one that these skills were trained on")
    refused(skills, load_base(t5_folder), r"no plain linear layer 'model\.layers\.0")
    adapted, _ = trained(llama_folder)
    with pytest.raises(InputError, match="no plain linear layer"):
        load_skills(skills, adapted.model, read_skills(skills), base=base_of(adapted))


@pytest.mark.parametrize(("kind", "told"), [("staged", "stages"), ("gated", "gates")])
def test_what_tells_prompts_must_have_the_models_width(llama_folder, tmp_path, kind, told):
    folder = saved(tmp_path / "skills", llama_folder, kind=kind, width=47)
    with pytest.raises(InputError, match=f"{told} of width 47, but .* vectors of 48"):
        open_skills(folder, device="cpu", precision="float32")
