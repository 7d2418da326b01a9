"""Save a mixture as a new version of a skills folder, and put a stored one into a model.

The layout is told in `manifest.py`. Order of writing: the tasks' folders, the version's files, its
manifest, CURRENT. Folders of tasks are named by their content and never changed, so versions share
them, and a reader sees the old version or the new one, never a part.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from amlora import files
from amlora.errors import InputError
from amlora.mixture.base import check_base, find
from amlora.mixture.cards import By, check_scores, version_readme
from amlora.mixture.folders import (
    check_mixture,
    entries,
    listed,
    selectors,
    stage_tensors,
    task_folders,
)
from amlora.mixture.inject import inject, linear_sizes
from amlora.mixture.layer import Control
from amlora.mixture.manifest import (
    CURRENT,
    FORMAT,
    GATES,
    MANIFEST,
    README,
    SCORES,
    SELECTOR,
    STAGES,
    VERSION,
    WEIGHTS,
    Base,
    Contents,
    Manifest,
    TaskCard,
    read_current,
    read_manifest,
    refuse_links,
    verify,
)
from amlora.mixture.mixture import KEPT, Mixture
from amlora.mixture.peft_files import PYTORCH
from amlora.mixture.stored import StoredSkills
from amlora.mixture.tensors import Dtype


def save_skills(
    folder: Path,
    mixture: Mixture,
    *,
    base: Base,
    tasks: Sequence[TaskCard],
    scores: Mapping[str, Any],
) -> str:
    """Write a new version and make it the one in use.

    A LoRA and a task of the same name share a folder; either may be without the other (one LoRA for
    all tasks, an imported LoRA). Saving what is in use already writes nothing.

    Args:
        folder: made if missing.
        mixture: no LoRA of it may still be on its way in (`control.newcomer`).
        base: the model under it.
        tasks: in the order learned.
        scores: plain values; "R" and "metrics" as in a run's record are shown in the model card.

    Returns:
        The version, as in "0001".

    Raises:
        InputError: two LoRAs or two tasks have one name, there is no LoRA, the newest is still
            learned, the folder is damaged or written by another process, or scores do not fit the
            tasks.
    """
    check_mixture(mixture, tasks)
    check_scores("scores", scores, len(tasks))
    with files.lock(folder):
        files.sweep(folder)
        current = read_current(folder) if files.exists(folder / CURRENT) else None
        named = task_folders(mixture, base, tasks)
        shared = dict(named.values())
        loras, cards = entries(mixture, tasks, named)
        ours = {
            SELECTOR: files.tensor_bytes(selectors(mixture), PYTORCH),
            SCORES: files.json_bytes(scores),
        }
        stages = None
        if mixture.stages is not None:
            ours[STAGES] = files.tensor_bytes(stage_tensors(mixture), PYTORCH)
            stages = mixture.stages.settings
        gates = None
        if mixture.gates is not None:
            ours[GATES] = files.tensor_bytes(mixture.gates.tensors(), PYTORCH)
            gates = mixture.gates.settings
        draft = Manifest(
            format=FORMAT,
            version=next_version(folder),
            previous=current,
            content="",
            base=base,
            combine=mixture.control.combine,
            gain=mixture.control.gain,
            arrow=mixture.control.arrow,
            dtype=dtype_of(mixture),
            targets=tuple(mixture.layers),
            loras=loras,
            tasks=cards,
            files=listed(shared),
            stages=stages,
            gates=gates,
        )
        content = content_digest(draft, ours)
        if current and read_manifest(folder, current).content == content:
            return verify(folder).version
        chosen: By | None = None if gates is None else "gates"
        if stages is not None:
            chosen = "stages or none" if stages.reject else "stages"
        way = mixture.control.way
        readme = version_readme(draft.version, base, way, loras, tasks, scores, by=chosen)
        ours[README] = readme.encode()
        named_files = draft.files | listed({f"versions/{draft.version}": ours})
        manifest = draft.replace(content=content, files=named_files)
        publish(folder, manifest, shared, ours)
        return manifest.version


def dtype_of(mixture: Mixture) -> Dtype:
    """Return the name of the dtype of the LoRAs and selectors."""
    return cast(Dtype, str(next(iter(mixture.tensors().values())).dtype).removeprefix("torch."))


def content_digest(draft: Manifest, ours: Contents) -> str:
    """Return the hash of all that a version is, whatever its number and the one before it."""
    value = draft.plain()
    del value["version"], value["previous"], value["content"]
    return files.digest([value, {name: files.sha256_bytes(data) for name, data in ours.items()}])


def next_version(folder: Path) -> str:
    """Return the number after the newest version that has a manifest."""
    manifests = (folder / "versions").glob(f"*/{MANIFEST}")
    numbers = [int(p.parent.name) for p in manifests if VERSION.fullmatch(p.parent.name)]
    return f"{1 + max(numbers, default=0):04}"


def publish(
    folder: Path, manifest: Manifest, shared: Mapping[str, Contents], ours: Contents
) -> None:
    """Write everything, the manifest second to last and CURRENT last.

    Args:
        folder: the skills folder.
        manifest: names all files.
        shared: contents of the tasks' folders, by path.
        ours: contents of the version's folder, without the manifest.
    """
    here = f"versions/{manifest.version}"
    for name in (*shared, here):
        refuse_links(folder, name)
    for name, contents in shared.items():
        write_folder(folder / name, contents)
    version = folder / here
    files.discard(version)  # a killed writer's: without a manifest it was never a version
    write_folder(version, ours)
    for path in (folder / "tasks", folder / "versions", folder):
        files.sync(path)
    data = files.json_bytes(manifest.plain())
    files.write_bytes(version / MANIFEST, data)
    line = f"{manifest.version} {files.sha256_bytes(data)}\n"
    files.write_text(folder / CURRENT, line)


def write_folder(path: Path, contents: Contents) -> None:
    """Write the files that a folder lacks; files that are there must be the same.

    Raises:
        InputError: names a file that is there and differs.
    """
    files.make_folder(path)
    files.sweep(path)
    for name, data in contents.items():
        if not files.exists(path / name):
            files.write_bytes(path / name, data)
        elif files.read_bytes(path / name) != data:
            raise InputError(f"{path / name}: altered since it was written; remove {path}.")


def load_skills(folder: Path, model: nn.Module, skills: StoredSkills, *, base: Base) -> Mixture:
    """Put a stored mixture into its base model, in place and frozen.

    Args:
        folder: the skills folder, for the errors.
        model: the base model, without a mixture.
        skills: what `read_skills(folder)` returned.
        base: what that model is; its hashes must be those of `manifest.base`.

    Returns:
        The mixture. On the CPU in float32 the model's answers are those of the trained one, bit for
        bit; where there are stages or gates, given the same routes (`mixture.stages` or
        `mixture.gates` makes them).

    Raises:
        InputError: the model is not the base of these skills, or a tensor is of another width than
            its layer. The model is then left without a mixture.
    """
    manifest = skills.manifest
    check_base(folder, model, manifest, base)
    check_widths(folder, model, skills)
    control = Control(combine=manifest.combine, gain=manifest.gain, arrow=manifest.arrow)
    mixture = inject(model, manifest.targets, control)
    mixture.stages, mixture.gates = skills.stages, skills.gates
    loras = manifest.loras
    attends = skills.stages is not None and manifest.combine == "attention"
    mixture.restore(
        [lora.name for lora in loras],
        [lora.rank for lora in loras],
        [lora.alpha for lora in loras],
        skills.tensors,
        stages=len(loras) if attends else 0,
    )
    return mixture


def check_widths(folder: Path, model: nn.Module, skills: StoredSkills) -> None:
    """Compare stored tensors with the layers that they are for.

    Raises:
        InputError: names the file and the layer.
    """
    manifest = skills.manifest
    here = f"versions/{manifest.version}"
    weights = f"{manifest.loras[0].folder}/{WEIGHTS}"  # of one width with those of the others
    for name in manifest.targets:
        d_in, d_out = linear_sizes(find(model, name)) or (0, 0)
        for kind, file, width in (
            ("a", weights, d_in),
            ("b", weights, d_out),
            ("w", f"{here}/{SELECTOR}", d_out),
            (KEPT, f"{here}/{STAGES}", d_out),
        ):
            stored = skills.tensors.get(f"{name}.{kind}")
            if stored is not None and stored.shape[1] != width:
                raise InputError(
                    f"{folder / file}: {name}: width {stored.shape[1]} ({kind}), but the layer's is"
                    f" {width}."
                )
