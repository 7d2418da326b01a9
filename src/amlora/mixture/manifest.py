"""The manifest of one version of a skills folder, and the check of every file that it names.

    CURRENT                     "<version> <sha256 of its manifest>", replaced in one step
    tasks/NN-name-hash8/        adapter_config.json, adapter_model.safetensors, task.json, README.md
    versions/0001/              manifest.json, selector.safetensors, scores.json, README.md, and
                                stages.safetensors where each stage's model is kept,
                                gates.safetensors where each LoRA has a gate

CURRENT vouches for a manifest; the manifest vouches for every other file of its version and for the
manifest before it. So one line vouches for every byte of every version in use.
"""

import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PositiveInt

from amlora import files, formats
from amlora.errors import InputError
from amlora.mixture.arrow import Arrow
from amlora.mixture.bank import check_scale
from amlora.mixture.gates import GateSettings
from amlora.mixture.reference import Combine
from amlora.mixture.stages import StageSettings
from amlora.mixture.tensors import Dtype
from amlora.settings import Many, Settings

FORMAT = 3
"""Raised when something is read otherwise. Formats 1 and 2, which did not vouch for the whole base
model and its tokenizer, were never part of a release."""
CURRENT = "CURRENT"
MANIFEST, SELECTOR, SCORES = "manifest.json", "selector.safetensors", "scores.json"
CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "task.json"
STAGES, GATES = "stages.safetensors", "gates.safetensors"
README = "README.md"

Contents = dict[str, bytes]
"""Files of one folder by name."""

VERSION = re.compile(r"[0-9]{4,9}")
CURRENT_LINE = re.compile(r"([0-9]{4,9}) ([0-9a-f]{64})\n")
LONGEST_CURRENT = 1000  # bytes; a longer one is none
LONGEST_SLUG = 40
TASK_FOLDER = re.compile(rf"tasks/[0-9]{{2,9}}-[a-z0-9-]{{1,{LONGEST_SLUG}}}-[0-9a-f]{{8}}")


class Base(Settings):
    """The pretrained model under the skills."""

    name: str
    """A built-in name, a folder, a GGUF file or an id on the hub."""
    revision: str
    """The hub's commit, or "" for a folder."""
    family: Literal["encoder-decoder", "decoder-only"]
    model_type: str
    """`config.model_type`."""
    fingerprint: str
    """sha256 over all its weights."""
    tokenizer: str
    """sha256 over what decides a text's ids and where an answer ends."""
    gguf_file: str = ""
    """A GGUF file inside `name`."""
    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] = 512
    """The longest prompt of the training, in tokens."""


class TaskCard(Settings):
    """The words around a task's texts: all that `streams/prompt.py` needs to ask for it.

    And which columns of a table become its texts.
    """

    name: str
    instruction: str
    options: Many[str]
    """The allowed answers; empty means free text."""
    cue: str = "Answer:"
    show_options: bool = True
    category: str = ""
    dataset: str = ""
    """What the `Dataset:` prefix names; empty means the task's name."""
    prefix: Literal["off", "task", "task+dataset"] = "off"
    form: Literal["full", "blind"] = "full"
    text_column: str = "text"
    """The column of the task's tables that holds the text."""
    forms: Many[str] = ()
    """How the text is put together from several columns; see `streams/compose.py`."""


class StoredLoRA(Settings):
    """One LoRA of the mixture."""

    name: str
    rank: PositiveInt
    alpha: float
    folder: str
    """tasks/NN-name-hash8."""

    def check(self) -> None:
        """Check the values."""
        check_scale(self.alpha, self.rank)


class StoredTask(Settings):
    """One task that was learned; its card is in its folder, alone or beside its own LoRA."""

    name: str
    folder: str


class StoredFile(Settings):
    """What a file must be."""

    size: int
    """In bytes."""
    sha256: str


class Previous(Settings):
    """The version that this one was saved after."""

    version: str
    sha256: str
    """Of its manifest."""


class Head(BaseModel, strict=True):
    """The part of a manifest that every format has."""

    format: PositiveInt


class Manifest(Settings):
    """One version."""

    format: int
    version: str
    previous: Previous | None
    content: str
    """sha256 over everything but the version's number: equal skills are stored once."""
    base: Base
    combine: Combine
    gain: bool
    dtype: Dtype
    """Of the LoRAs and selectors."""
    targets: Many[str]
    """The adapted layers, in the model's order."""
    loras: Many[StoredLoRA]
    """Oldest first."""
    tasks: Many[StoredTask]
    """In the order in which they were learned."""
    files: dict[str, StoredFile]
    """Every file of the version and of its tasks' folders, by path from the skills folder."""
    arrow: Arrow | None = None
    """Where set, LoRAs are chosen by their prototypes, and `combine` does not count."""
    stages: StageSettings | None = None
    """How a prompt's stage is told, one stage per LoRA; None where all LoRAs answer everything."""
    gates: GateSettings | None = None
    """The form of the gates, one per LoRA; None where LoRAs have none."""

    def check(self) -> None:
        """Refuse what could not be put into a model."""
        if not (self.loras and self.targets):
            raise ValueError("there must be at least one LoRA, and one layer in targets.")
        for kind, names in (
            ("loras", [lora.name for lora in self.loras]),
            ("tasks", [task.name for task in self.tasks]),
            ("targets", list(self.targets)),
        ):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind}: {twice[0]!r} is there twice.")
        if sum(way is not None for way in (self.arrow, self.stages, self.gates)) > 1:
            raise ValueError("at most one of arrow, stages and gates may be set.")

    def plain(self) -> dict[str, Any]:
        """Return what is stored; a way that is not used is left out."""
        values = self.model_dump(mode="json").items()
        return {name: value for name, value in values if value is not None or name == "previous"}

    def folders(self) -> dict[str, set[str]]:
        """Return the names of the files, without the manifest, that each folder must hold."""
        own = {SELECTOR, SCORES, README}
        own |= {name for name, has in ((STAGES, self.stages), (GATES, self.gates)) if has}
        names = {f"versions/{self.version}": own}
        for lora in self.loras:
            names.setdefault(lora.folder, {README}).update({CONFIG, WEIGHTS})
        for task in self.tasks:
            names.setdefault(task.folder, {README}).add(CARD)
        return names


def read_current(folder: Path) -> Previous:
    """Return the version in use and the hash of its manifest.

    Raises:
        InputError: CURRENT is missing or not one whole line of ours.
    """
    path = folder / CURRENT
    check_regular(path)
    data = files.read_bytes(path, most=LONGEST_CURRENT)
    match = CURRENT_LINE.fullmatch(data.decode("utf-8", "replace"))
    if match is None:
        raise InputError(f"{path}: altered: it must be one line, a version and a sha256.")
    return Previous(version=match[1], sha256=match[2])


def read_manifest(folder: Path, entry: Previous) -> Manifest:
    """Read one version's manifest after checking its hash.

    Raises:
        InputError: it is missing, altered, of another format, or names what it must not.
    """
    where = f"versions/{entry.version}"
    check_folder(folder, where)
    path = folder / where / MANIFEST
    check_regular(path)
    data = files.read_bytes(path, most=files.MOST)
    if files.sha256_bytes(data) != entry.sha256:
        raise InputError(f"{path}: altered: its sha256 is not the one that was written down.")
    value = formats.parse_json(path, data)
    stated = formats.typed(path, value, Head).format
    if stated != FORMAT:
        way = "install a newer one" if stated > FORMAT else "learn them again"
        raise InputError(f"{path}: format {stated}, but this amlora reads {FORMAT}; {way}.")
    manifest = formats.typed(path, value, Manifest)
    if manifest.version != entry.version:
        raise InputError(f"{path}: says that it is version {manifest.version!r}.")
    check_names(path, manifest)
    return manifest


def find_version(folder: Path, version: str | None) -> Previous:
    """Follow CURRENT, and from there each version's note of the one before, to the wanted version.

    Raises:
        InputError: there is no such version in that history, or a manifest on the way is damaged.
    """
    entry = read_current(folder)
    seen = [entry.version]
    while version is not None and entry.version != version:
        previous = read_manifest(folder, entry).previous
        if previous is None:
            raise InputError(f"{folder}: no version {version!r}; there are {', '.join(seen)}.")
        if not VERSION.fullmatch(previous.version) or int(previous.version) >= int(entry.version):
            raise InputError(f"{folder}: version {entry.version} follows {previous.version!r}.")
        entry = previous
        seen.append(entry.version)
    return entry


def read_version(folder: Path, version: str | None = None) -> Manifest:
    """Return a version's manifest; its folders hold what it names and nothing else.

    The files themselves are checked as they are read, by `read_file`.

    Args:
        folder: holds CURRENT.
        version: as in "0002"; None for the one in use.

    Raises:
        InputError: names what is missing, altered, foreign or a link.
    """
    manifest = read_manifest(folder, find_version(folder, version))
    for name, wanted in manifest.folders().items():
        check_folder(folder, name)
        there = set(os.listdir(folder / name))
        foreign = there - wanted - ({MANIFEST} if name.startswith("versions/") else set[str]())
        if foreign:
            path = folder / name / min(foreign)
            raise InputError(f"{path}: foreign: it is no part of version {manifest.version}.")
    return manifest


def read_file(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Read a file that a manifest names, once; what is returned is what was hashed.

    Args:
        folder: holds CURRENT.
        manifest: of a version of it.
        name: a key of `manifest.files`.

    Raises:
        InputError: it is missing, truncated, altered, a link or no file.
    """
    path, stated = folder / name, manifest.files[name]
    size = check_regular(path)
    if size != stated.size:
        kind = "truncated" if size < stated.size else "altered"
        raise InputError(f"{path}: {kind}: {size} bytes where the manifest says {stated.size}.")
    data = files.read_bytes(path, most=size)
    if files.sha256_bytes(data) != stated.sha256:
        raise InputError(f"{path}: altered: its sha256 is not the manifest's.")
    return data


def verify(folder: Path, version: str | None = None) -> Manifest:
    """Check every file of a version and return its manifest.

    To use the files read them with `read_skills`: they may be others when read once more.

    Args:
        folder: holds CURRENT.
        version: as in "0002"; None for the one in use.

    Raises:
        InputError: names the file that is missing, truncated, altered, foreign or a link.
    """
    manifest = read_version(folder, version)
    for name in manifest.files:
        read_file(folder, manifest, name)
    return manifest


def check_names(path: Path, manifest: Manifest) -> None:
    """Refuse a manifest that names a path of any other form than ours, or not all files.

    Raises:
        InputError: names the path.
    """
    for entry in (*manifest.loras, *manifest.tasks):
        if not TASK_FOLDER.fullmatch(entry.folder):
            raise InputError(f"{path}: refuses the folder {entry.folder!r} of {entry.name!r}.")
    folders = manifest.folders().items()
    wanted = {f"{folder}/{name}" for folder, names in folders for name in names}
    if foreign := manifest.files.keys() - wanted:
        raise InputError(f"{path}: refuses the path {min(foreign)!r}: no file of a version.")
    if lacking := wanted - manifest.files.keys():
        raise InputError(f"{path}: says nothing about {min(lacking)!r}.")


def check_folder(folder: Path, name: str) -> None:
    """Refuse a folder that is missing, or a link, or inside of a link.

    Raises:
        InputError: names it.
    """
    refuse_links(folder, name)
    for path in (folder / Path(name).parts[0], folder / name):
        if not path.is_dir():
            raise InputError(f"{path}: missing.")


def refuse_links(folder: Path, name: str) -> None:
    """Refuse a folder of ours that is a link, or inside of one: it could lead anywhere.

    Raises:
        InputError: names it.
    """
    for path in (folder / Path(name).parts[0], folder / name):
        if path.is_symlink():
            raise InputError(f"{path}: refuses a link; skills are plain files.")


def check_regular(path: Path) -> int:
    """Return a file's size in bytes, refusing links, pipes and devices.

    Raises:
        InputError: names it.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise InputError(f"{path}: missing.") from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: refuses a link or special file; skills are plain files.")
    return found.st_size
