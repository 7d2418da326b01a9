"""Remove or rename a skill: a new version without a new LoRA."""

from pathlib import Path

from amlora import files
from amlora.errors import InputError, nearest
from amlora.mixture.draft import Draft
from amlora.mixture.load import read_skills
from amlora.mixture.version import read_version
from amlora.records.skills import Gate, Standing
from amlora.skills.assess import assess, state
from amlora.skills.bench import Bench
from amlora.skills.facts import Facts, read_facts
from amlora.skills.hold import holding
from amlora.skills.learn import Outcome
from amlora.skills.loading import Loading
from amlora.skills.regression import changes_of
from amlora.skills.settings import check_name


def remove(folder: Path, name: str, *, loading: Loading, max_drop: float) -> Outcome:
    """Take a skill out of use, and say where the other skills' prompts go then.

    Raises:
        InputError: there is no such skill, or no other.
    """
    with holding(existing(folder)):
        facts = read_facts(folder, read_version(folder))
        check_there(folder, facts, name)
        if len(facts.manifest.skills) == 1:
            raise InputError(f"{folder}: {name!r} is its only skill; delete the folder instead.")
        bench = Bench.of(folder, facts.manifest.version, loading)
        bench.drop(name)
        bench.put_on()
        standing = assess(
            bench,
            facts,
            did="remove",
            skill=name,
            learned={each: told for each, told in facts.learned.items() if each != name},
            kept={each: held for each, held in facts.kept.items() if each != name},
            max_drop=max_drop,
        )
        draft = Draft.of(folder, facts.manifest)
        draft.remove(name)
        manifest = draft.write(
            folder,
            router=bench.router,
            scores=standing.model_dump(mode="json"),
            publish=standing.gate.passed,
        )
    return Outcome(manifest.version, standing.gate.passed, standing)


def rename(folder: Path, old: str, new: str) -> Outcome:
    """Call a skill by another name; no answer changes.

    Raises:
        InputError: there is no such skill, or one of the new name, or it is no name.
    """
    try:
        check_name(new)
    except ValueError as error:
        raise InputError(str(error)) from None
    with holding(existing(folder)):
        facts = read_facts(folder, read_version(folder))
        check_there(folder, facts, old)
        names = {each.name.lower() for each in facts.manifest.skills} - {old.lower()}
        if new.lower() in names or new == old:
            raise InputError(f"{folder}: a skill {new!r} is there already.")
        stages = read_skills(folder, facts.manifest.version).stages
        assert stages is not None, "a folder with skills has a router"
        standing = renamed(facts, old, new)
        draft = Draft.of(folder, facts.manifest)
        draft.rename(old, new)
        manifest = draft.write(
            folder, router=stages, scores=standing.model_dump(mode="json"), publish=True
        )
    return Outcome(manifest.version, True, standing)


def renamed(facts: Facts, old: str, new: str) -> Standing:
    """Return what the new version says: the same, under the new name."""
    names = {old: new}
    then = state(facts, names)
    astray = [each for rows in then.astray.values() for each in rows.values()]
    before = facts.standing
    return Standing(
        did="rename",
        skill=new,
        renamed=names,
        changes=tuple(changes_of(then, then, max_drop=0.0)),
        astray=tuple(astray),
        checked=0,
        general=before.general if before else 0,
        to_base=before.to_base if before else 0,
        to_base_before=before.to_base if before else None,
        gate=Gate(passed=True, max_drop=before.gate.max_drop if before else 0.0),
    )


def existing(folder: Path) -> Path:
    """Return the folder, or an InputError where there is none."""
    if not files.exists(folder):
        raise InputError(f"{folder}: no such folder.")
    return folder


def check_there(folder: Path, facts: Facts, name: str) -> None:
    """Refuse a name that no skill has."""
    names = [skill.name for skill in facts.manifest.skills]
    if name not in names:
        close = nearest(name, names) or f"; skills: {', '.join(names)}."
        raise InputError(f"{folder}: no skill {name!r}{close}")
