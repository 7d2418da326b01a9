"""What is in a skills folder, as plain values: the model, and each skill with its words."""

from pathlib import Path
from typing import Any

from amlora.mixture.load import read_cards
from amlora.mixture.manifest import WEIGHTS, Manifest
from amlora.skills.facts import Facts, Kept, read_facts


def overview(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return what a version holds, as `amlora show` tells it.

    "version", "base" (name, revision, model_type), "combine", "dtype", "targets" (the layers' last
    name parts), "bytes" (of all files of the version), and "skills", oldest first: "name", "rank",
    "alpha", "uses" (skills, as they are called now, or LoRAs of skills that are there no more),
    "instruction", "options", "bytes" (of its own LoRA), "kept" (what is kept of its rows, in
    words), and what `Learned` says of it, None where it was not learned by `learn`.
    """
    facts = read_facts(folder, manifest)
    cards = {card.name: card for card in read_cards(folder, manifest)}
    now = {skill.lora: skill.name for skill in manifest.skills}
    loras = {lora.name: lora for lora in manifest.loras}
    skills: list[dict[str, Any]] = []
    for skill in manifest.skills:
        lora, card, learned = loras[skill.lora], cards[skill.name], facts.learned.get(skill.name)
        skills.append(
            {
                "name": skill.name,
                "rank": lora.rank,
                "alpha": lora.alpha,
                "uses": [now.get(name, name) for name in skill.uses],
                "instruction": card.instruction,
                "options": list(card.options),
                "bytes": manifest.files[f"{lora.folder}/{WEIGHTS}"].size,
                "kept": kept_text(facts, skill.name),
                "learned": None if learned is None else learned.model_dump(mode="json"),
            }
        )
    base = manifest.base
    return {
        "version": manifest.version,
        "base": {"name": base.name, "revision": base.revision, "model_type": base.model_type},
        "combine": manifest.combine,
        "dtype": manifest.dtype,
        "targets": sorted({name.rpartition(".")[2] for name in manifest.targets}),
        "bytes": sum(file.size for file in manifest.files.values()),
        "skills": skills,
    }


def kept_text(facts: Facts, skill: str) -> str:
    """Say what is kept of a skill's rows."""
    kept: Kept = facts.kept[skill]
    if kept.rows:
        return f"{len(kept.rows)} rows"
    return f"{len(kept.names)} vectors" if kept.names else "nothing"
