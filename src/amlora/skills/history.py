"""All versions of a skills folder, as reports read them; no weights are read."""

from pathlib import Path

from amlora.errors import InputError
from amlora.mixture.version import in_use, list_versions
from amlora.records.folder import Folder, Version
from amlora.skills.assess import rows_of
from amlora.skills.facts import Beside, Facts, read_facts


def history(folder: Path, name: str) -> Folder:
    """Read what all versions say of their skills; those that `learn` did not make are left out.

    Raises:
        InputError: a file is damaged, or `learn` made none of them.
    """
    known: dict[str, Beside] = {}
    manifests = list_versions(folder)
    current = in_use(folder)
    found = [read_facts(folder, manifest, known) for manifest in manifests]
    versions = tuple(version_of(each, current) for each in found if each.standing is not None)
    if not versions:
        raise InputError(f"{name}: no version was made by `amlora learn`, so nothing is compared.")
    return Folder(name=name, base=manifests[-1].base.name, versions=versions)


def version_of(facts: Facts, current: str | None) -> Version:
    """Return a version as reports read it."""
    manifest, standing = facts.manifest, facts.standing
    assert standing is not None
    before = manifest.previous
    return Version(
        number=int(manifest.version),
        parent=None if before is None else int(before.version),
        in_use=manifest.version == current,
        standing=standing,
        learned=facts.learned,
        kept={name: rows_of(facts.kept[name]) for name in facts.learned},
    )
