"""The README of a LoRA's folder and of a version: what a reader on the hub sees first."""

from collections.abc import Mapping, Sequence
from typing import Any

from amlora.mixture.arrow import Way
from amlora.mixture.manifest import KEPT_ROWS, Base, Manifest, TaskCard
from amlora.printable import markdown_safe

COMBINED = {
    "attention": "An attention over all LoRAs decides, token by token and layer by layer, how much "
    "of each is used",
    "sum": "The outputs of all LoRAs are added up",
    "arrow": "Token by token and layer by layer, those LoRAs are used whose prototypes (what each "
    "reads most) the input lies along",
    "mean": "Every LoRA has the same weight, 1 / (number of LoRAs + 1)",
}
STAGED = " A prompt is answered by the LoRAs of the task that it looks like"
REJECTED = ", and by the base model alone where it looks like none"
GATED = " A prompt's answer uses each at the strength that its gate, a small network, says."
ALONE = {
    "attention": "It was trained at the weight, below 1, that an attention gave it, beside others.",
    "sum": "It was trained beside the LoRAs that came before it, and their outputs are added up.",
    "arrow": "It was trained by itself, but is used as one of several.",
    "mean": "It was trained at a weight below 1, beside others.",
}


KEPT = (
    "`kept.jsonl` holds {what} rows that were not trained on, so that later versions can be"
    " compared on them. They are user data: whoever gets the folder can read them."
)


def folder_readme(
    name: str,
    base: Base,
    way: Way,
    shape: tuple[int, float] | None,
    *,
    uses: Sequence[str] | None = None,
    keeps: bool = False,
) -> str:
    """Return the README of one task's folder.

    Args:
        name: of the task.
        base: the model under it.
        way: how LoRAs are combined.
        shape: its LoRA's rank and alpha, if it has one.
        uses: the LoRAs that this one was learned on top of, where those and it alone answer its
            prompts; None where all LoRAs answer.
        keeps: whether some of the task's rows lie beside it.
    """
    title = f"# {markdown_safe(name)}\n\n"
    if shape is None:
        return title + "The words around this task's texts. It has no LoRA of its own.\n"
    rank, alpha = shape
    told = f"**The LoRA alone is not the mixture.** {ALONE[way]}"
    rest = (
        " Alone and at full weight it acts differently from what was measured. To get what was"
        " measured, load the whole skills folder with `amlora.load`."
    )
    if uses is not None and way == "sum":
        told = "**The LoRA alone is the skill, exactly**: it was learned on the base model alone."
        if uses:
            names = ", ".join(map(markdown_safe, uses))
            told = (
                f"**The LoRA alone is not the skill.** It was learned on top of {names}: the"
                " outputs of these and its own are added up."
            )
        else:
            rest = (
                " Which prompts are its own is told by the skills folder, which `amlora.load` loads"
                " whole."
            )
    kept = f"\n{KEPT.format(what='some of the')}\n" if keeps else ""
    return (
        header(base, "peft") + title + f"A LoRA (rank {rank}, alpha {alpha:g}) for"
        f" {markdown_safe(base.name)} in the format of the `peft` library, at its full weight"
        f" alpha / rank.\n\n{told}{rest}\n{kept}"
    )


def version_readme(
    manifest: Manifest,
    tasks: Sequence[TaskCard],
    scores: Mapping[str, Any],
    learned: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return the model card of a version.

    Args:
        manifest: of the version.
        tasks: in the order learned; the columns of the matrix.
        scores: that `check_scores` accepts: "R" and "metrics" as in a run's record, fractions
            0..1; both may be absent. With "boundaries", stages were found and are not tasks.
        learned: what is known of each skill's learning, by name: "score" and "metric", 0..1; None
            where skills were not learned one by one.
    """
    chosen = GATED if manifest.gates else ""
    if manifest.stages:
        chosen = f"{STAGED}{REJECTED if manifest.stages.reject else ''}."
    loras = [[lora.name, f"{lora.rank}", f"{lora.alpha:g}", lora.folder] for lora in manifest.loras]
    words = [[task.name, task.instruction, ", ".join(task.options)] for task in tasks]
    parts = [
        f"# Skills for {markdown_safe(manifest.base.name)}, version {manifest.version}",
        f"{len(tasks)} tasks learned one after another. {COMBINED[manifest.way]}."
        f"{chosen} No task id is needed.",
        "```python\nimport amlora\n\n"
        'model, tokenizer = amlora.load("path/to/this/skills/folder")\n```',
        table(["LoRA", "rank", "alpha", "folder"], loras),
        *([] if learned is None else skills_parts(manifest, learned)),
        table(["task", "instruction", "options"], words),
    ]
    if rows := scores.get("R"):
        parts.append("Accuracy in percent on each task (columns) as the tasks were learned (rows):")
        names = [task.name for task in tasks]
        # Where stages were found they are no tasks, and are numbered.
        per_task = len(rows) == len(names) + 1 and "boundaries" not in scores
        stages = names if per_task else [f"stage {index}" for index in range(1, len(rows))]
        labels = ["before learning", *(f"after {name}" for name in stages)]
        shown = [[label, *map(percent, row)] for label, row in zip(labels, rows, strict=True)]
        parts.append(table(["", *names], shown))
    if metrics := scores.get("metrics"):
        shown = [[name, percent(value)] for name, value in metrics.items()]
        parts.append(table(["metric", "percent"], shown))
    return header(manifest.base, "amlora") + "\n\n".join(parts) + "\n"


def skills_parts(manifest: Manifest, learned: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is said of skills: whose LoRAs answer each, how well, and what is kept of them.

    Their scores are those that their own LoRAs had on their kept rows when they were learned.
    """
    rows = [
        [
            skill.name,
            ", ".join(skill.uses) or "nothing",
            percent(learned[skill.name].get("score")),
            str(learned[skill.name].get("metric", "-")),
        ]
        for skill in manifest.skills
    ]
    parts = [
        "A skill is answered by its own LoRA and by those that it uses. Its score, in percent, is"
        " that on kept rows when it was learned, and does not change:",
        table(["skill", "uses", "score", "metric"], rows),
    ]
    if any(name.endswith(f"/{KEPT_ROWS}") for name in manifest.files):
        parts.append(KEPT.format(what="each skill's"))
    return parts


def percent(fraction: float | None) -> str:
    """Return a fraction as percent with one decimal, "-" where there is none."""
    return "-" if fraction is None else f"{100 * fraction:.1f}"


def header(base: Base, library: str) -> str:
    """Return the block that the hub reads; only a hub model is named in it."""
    line = f"base_model: {base.name}\n" if base.revision else ""
    return f"---\nlibrary_name: {library}\n{line}tags:\n- lora\n- continual-learning\n---\n\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(markdown_safe, line)) + " |" for line in lines)
