"""The README of a LoRA's folder and of a version: what a reader on the hub sees first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from amlora import formats
from amlora.errors import InputError
from amlora.mixture.arrow import Way
from amlora.mixture.manifest import Base, StoredLoRA, TaskCard
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
By = Literal["stages", "stages or none", "gates"]
"""What chooses among LoRAs by the prompt: each is answered by the LoRAs up to its own task's, or up
to its own task's or by none, or by all at their gates."""
CHOSEN: dict[By | None, str] = {
    None: "",
    "stages": f"{STAGED}.",
    "stages or none": f"{STAGED}{REJECTED}.",
    "gates": GATED,
}
ALONE = {
    "attention": "It was trained at the weight, below 1, that an attention gave it, beside others.",
    "sum": "It was trained beside the LoRAs that came before it, and their outputs are added up.",
    "arrow": "It was trained by itself, but is used as one of several.",
    "mean": "It was trained at a weight below 1, beside others.",
}


def folder_readme(
    name: str, base: Base, combine: Way, rank: int | None, alpha: float | None
) -> str:
    """Return the README of one task's folder; `rank` is None where the folder has no LoRA."""
    title = f"# {markdown_safe(name)}\n\n"
    if rank is None:
        return title + "The words around this task's texts. It has no LoRA of its own.\n"
    return (
        header(base, "peft") + title + f"A LoRA (rank {rank}, alpha {alpha:g}) for"
        f" {markdown_safe(base.name)} in the format of the `peft` library, at its full weight"
        " alpha / rank.\n\n"
        f"**The LoRA alone is not the mixture.** {ALONE[combine]} Alone and at full weight it acts"
        " differently from what was measured. To get what was measured, load the whole skills"
        " folder with `amlora.load`.\n"
    )


def version_readme(
    version: str,
    base: Base,
    combine: Way,
    loras: Sequence[StoredLoRA],
    tasks: Sequence[TaskCard],
    scores: Mapping[str, Any],
    *,
    by: By | None,
) -> str:
    """Return the model card of a version.

    Args:
        version: as in "0002".
        base, combine, loras: of the mixture.
        tasks: in the order learned; the columns of the matrix.
        scores: that `check_scores` accepts: "R" and "metrics" as in a run's record, fractions
            0..1; both may be absent. With "boundaries", stages were found and are not tasks.
        by: what chooses among LoRAs by the prompt; None where nothing does.
    """
    parts = [
        f"# Skills for {markdown_safe(base.name)}, version {version}",
        f"{len(tasks)} tasks learned one after another. {COMBINED[combine]}."
        f"{CHOSEN[by]} No task id is needed.",
        "```python\nimport amlora\n\n"
        'model, tokenizer = amlora.load("path/to/this/skills/folder")\n```',
        table(
            ["LoRA", "rank", "alpha", "folder"],
            [[lora.name, f"{lora.rank}", f"{lora.alpha:g}", lora.folder] for lora in loras],
        ),
        table(
            ["task", "instruction", "options"],
            [[task.name, task.instruction, ", ".join(task.options)] for task in tasks],
        ),
    ]
    if rows := scores.get("R"):
        parts.append("Accuracy in percent on each task (columns) as the tasks were learned (rows):")
        found = "boundaries" in scores
        parts.append(matrix(rows, [task.name for task in tasks], found=found))
    if metrics := scores.get("metrics"):
        shown = [[name, percent(value)] for name, value in metrics.items()]
        parts.append(table(["metric", "percent"], shown))
    return header(base, "amlora") + "\n\n".join(parts) + "\n"


class Scores(BaseModel):
    """The scores that a model card shows; others may stand beside them."""

    R: list[list[float | None]] = []
    metrics: dict[str, float | None] = {}


def check_scores(where: Path | str, scores: object, tasks: int) -> None:
    """Refuse scores that no model card could show, or no JSON file hold.

    Raises:
        InputError: they are no object of plain values, a row of "R" has not one number per task, or
            a metric is no number.
    """
    try:
        formats.json_bytes(scores)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: no plain values: {error}.") from None
    found = formats.typed(where, scores, Scores)
    for index, row in enumerate(found.R):
        if len(row) != tasks:
            raise InputError(f"{where}: row {index} of R: {len(row)} values, {tasks} tasks.")


def matrix(
    rows: Sequence[Sequence[float | None]], names: Sequence[str], *, found: bool = False
) -> str:
    """Return the accuracy matrix as a table; where stages were found they are numbered."""
    per_task = len(rows) == len(names) + 1 and not found
    lines: list[list[str]] = []
    for index, row in enumerate(rows):
        after = names[index - 1] if per_task else f"stage {index}"
        label = f"after {after}" if index else "before learning"
        lines.append([label, *map(percent, row)])
    return table(["", *names], lines)


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
