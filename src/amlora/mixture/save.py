"""Save a mixture as a new version of a skills folder; the layout is told in `manifest.py`.

Order of writing: the tasks' folders, the version's files, its manifest, CURRENT. Folders of tasks
are named by their content and never changed, so versions share them, and a reader sees the old
version or the new one, never a part.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from amlora import files
from amlora.errors import InputError
from amlora.mixture.bank import check_scale
from amlora.mixture.cards import folder_readme, version_readme
from amlora.mixture.load import check_stages
from amlora.mixture.manifest import (
    CARD,
    CURRENT,
    GATES,
    LONGEST_SLUG,
    MANIFEST,
    README,
    SCORES,
    SELECTOR,
    STAGES,
    Base,
    Manifest,
    StoredFile,
    StoredLoRA,
    StoredTask,
    TaskCard,
    check_scores,
)
from amlora.mixture.mixture import Mixture
from amlora.mixture.peft_files import PYTORCH, adapter_files
from amlora.mixture.tensors import Dtype
from amlora.mixture.version import VERSION, check_folder, read_current, read_manifest, verify

Contents = dict[str, bytes]
"""Files of one folder by name."""


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
        own = version_files(mixture, scores)
        draft = Manifest(
            version=next_version(folder),
            previous=current,
            content="",
            base=base,
            combine=mixture.control.combine,
            gain=mixture.control.gain,
            dtype=cast(Dtype, str(next(iter(mixture.tensors().values())).dtype)[len("torch.") :]),
            targets=tuple(mixture.layers),
            loras=tuple(
                StoredLoRA(name=name, rank=rank, alpha=float(alpha), folder=named[name][0])
                for name, rank, alpha in zip(mixture.names, *mixture.shapes(), strict=True)
            ),
            tasks=tuple(StoredTask(name=card.name, folder=named[card.name][0]) for card in tasks),
            files=listed(dict(named.values())),
            arrow=mixture.control.arrow,
            stages=None if mixture.stages is None else mixture.stages.settings,
            gates=None if mixture.gates is None else mixture.gates.settings,
        )
        plain = draft.model_dump(mode="json", exclude={"version", "previous", "content"})
        content = files.digest([plain, {n: files.sha256_bytes(data) for n, data in own.items()}])
        if current and read_manifest(folder, current).content == content:
            return verify(folder).version
        own[README] = version_readme(draft, tasks, scores).encode()
        everything = draft.files | listed({draft.folder: own})
        manifest = draft.replace(content=content, files=everything)
        publish(folder, manifest, {**dict(named.values()), draft.folder: own})
        return manifest.version


def check_mixture(mixture: Mixture, tasks: Sequence[TaskCard]) -> None:
    """Refuse what could not be told apart or read back, by an InputError."""
    if not len(mixture):
        raise InputError("skills: the mixture has no LoRA yet; learn a task first.")
    if mixture.control.newcomer:
        raise InputError(f"skills: the LoRA {mixture.names[-1]!r} is still on its way in.")
    if mixture.stages is not None:
        check_stages(mixture.stages, len(mixture))
    assert mixture.gates is None or len(mixture.gates) == len(mixture)
    for name, rank, alpha in zip(mixture.names, *mixture.shapes(), strict=True):
        try:
            check_scale(alpha, rank)
        except ValueError as error:
            raise InputError(f"skills: the LoRA {name!r}: {error}") from None
    for kind, names in (("LoRAs", mixture.names), ("tasks", [task.name for task in tasks])):
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"skills: two {kind} are named {min(twice)!r}; names must differ.")


def task_folders(
    mixture: Mixture, base: Base, tasks: Sequence[TaskCard]
) -> dict[str, tuple[str, Contents]]:
    """Return each LoRA's and task's folder by its name: a path that ends in a hash, and files."""
    cards = {task.name: task for task in tasks}
    ranks, alphas = mixture.shapes()
    folders: dict[str, tuple[str, Contents]] = {}
    for number, name in enumerate(dict.fromkeys([*mixture.names, *cards]), 1):
        contents: Contents = {}
        shape = None
        if name in mixture.names:
            index = mixture.names.index(name)
            shape = ranks[index], alphas[index]
            contents |= adapter_files(mixture, index, base)
        if name in cards:
            contents[CARD] = files.json_bytes(cards[name].model_dump(mode="json"))
        contents[README] = folder_readme(name, base, mixture.control.way, shape).encode()
        content = {file: files.sha256_bytes(data) for file, data in contents.items()}
        path = f"tasks/{number:02}-{slug(name)}-{files.digest(content)[:8]}"
        folders[name] = path, contents
    return folders


def version_files(mixture: Mixture, scores: Mapping[str, Any]) -> Contents:
    """Return the files of a version's own folder, but for its README and its manifest."""
    selectors = {f"{name}.w": layer.bank.w for name, layer in mixture.layers.items()}
    tensors = {SELECTOR: selectors}
    if mixture.stages is not None:
        kept = mixture.kept() if mixture.control.combine == "attention" else {}
        tensors[STAGES] = {**mixture.stages.tensors(), **kept}
    if mixture.gates is not None:
        tensors[GATES] = mixture.gates.tensors()
    own = {name: files.tensor_bytes(held, PYTORCH) for name, held in tensors.items()}
    return {**own, SCORES: files.json_bytes(scores)}


def listed(folders: Mapping[str, Contents]) -> dict[str, StoredFile]:
    """Return what the manifest says of all files of some folders, given by path."""
    return {
        f"{path}/{name}": StoredFile(size=len(data), sha256=files.sha256_bytes(data))
        for path, contents in folders.items()
        for name, data in contents.items()
    }


def slug(name: str) -> str:
    """Return a name that is safe in a path: lower-case letters, digits and single dashes."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-") or "task"


def next_version(folder: Path) -> str:
    """Return the number after the newest version that has a manifest."""
    manifests = (folder / "versions").glob(f"*/{MANIFEST}")
    numbers = [int(p.parent.name) for p in manifests if VERSION.fullmatch(p.parent.name)]
    return f"{1 + max(numbers, default=0):04}"


def publish(folder: Path, manifest: Manifest, contents: Mapping[str, Contents]) -> None:
    """Write the folders' contents in their order, then the manifest, and CURRENT last.

    Only files that a folder lacks are written; one that is there and differs is refused.
    """
    for name in contents:
        check_folder(folder, name, missing=True)
    version = folder / manifest.folder
    files.discard(version)  # a killed writer's: without a manifest it was never a version
    for where, held in contents.items():
        place = folder / where
        files.make_folder(place)
        files.sweep(place)
        for name, data in held.items():
            if not files.exists(place / name):
                files.write_bytes(place / name, data)
            elif files.read_bytes(place / name) != data:
                raise InputError(f"{place / name}: altered since it was written; remove {place}.")
    for path in (folder / "tasks", folder / "versions", folder):
        files.sync(path)
    data = files.json_bytes(manifest.model_dump(mode="json"))
    files.write_bytes(version / MANIFEST, data)
    files.write_text(folder / CURRENT, f"{manifest.version} {files.sha256_bytes(data)}\n")
