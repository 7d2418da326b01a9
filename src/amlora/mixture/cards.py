"""The README of a LoRA's folder and of a version: what a reader on the hub sees first."""

from collections.abc import Mapping, Sequence
from typing import Any

from amlora.mixture.arrow import Way
from amlora.mixture.manifest import Base, Manifest, TaskCard
from amlora.printable import markdown_safe

COMBINED = {
    "attention": "An attention over all LoRAs decides, token by token and layer by layer, how much "
    "of each is used",
    "sum": "The outputs of all LoRAs are added up",
    "arrow": "Token by token and layer by layer, those LoRAs are used whose prototypes (what each "
    "reads most) the input lies along",
    "mean": "Every LoRA has the same weight, 1 / (number of LoRAs + 1)",
}
STAGED = " A prompt is answered by the LoRAs up to the task that it looks like"
REJECTED = ", and by the base model alone where it looks like none"
GATED = " A prompt's answer uses each at the strength that its gate, a small network, says."
ALONE = {
    "attention": "It was trained at the weight, below 1, that an attention gave it, beside others.",
    "sum": "It was trained beside the LoRAs that came before it, and their outputs are added up.",
    "arrow": "It was trained by itself, but is used as one of several.",
    "mean": "It was trained at a weight below 1, beside others.",
}


def folder_readme(name: str, base: Base, way: Way, shape: tuple[int, float] | None) -> str:
    """Return the README of one task's folder; `shape` is its LoRA's rank and alpha, if any."""
    title = f"# {markdown_safe(name)}\n\n"
    if shape is None:
        return title + "The words around this task's texts. It has no LoRA of its own.\n"
    rank, alpha = shape
    return (
        header(base, "peft") + title + f"A LoRA (rank {rank}, alpha {alpha:g}) for"
        f" {markdown_safe(base.name)} in the format of the `peft` library, at its full weight"
        " alpha / rank.\n\n"
        f"**The LoRA alone is not the mixture.** {ALONE[way]} Alone and at full weight it acts"
        " differently from what was measured. To get what was measured, load the whole skills"
        " folder with `amlora.load`.\n"
    )


def version_readme(manifest: Manifest, tasks: Sequence[TaskCard], scores: Mapping[str, Any]) -> str:
    """Return the model card of a version.

    Args:
        manifest: of the version.
        tasks: in the order learned; the columns of the matrix.
        scores: that `check_scores` accepts: "R" and "metrics" as in a run's record, fractions
            0..1; both may be absent. With "boundaries", stages were found and are not tasks.
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
