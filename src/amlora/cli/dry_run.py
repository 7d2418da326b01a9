"""`amlora run --dry-run`: a plan for people, or as JSON."""

from typing import Any

from amlora.cli.output import columns, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.experiment.plan import plan
from amlora.experiment.settings import RunSettings
from amlora.printable import one_line
from amlora.report.format import count, percent, size


def print_plan(settings: RunSettings, as_json: bool) -> None:
    """Print what the run would do and need."""
    planned = plan(settings)
    if as_json:
        return print_json(planned)
    from amlora.experiment.toml import write_toml

    say(f"run {planned['run']} on {planned['device']}\n")
    for warning in planned["warnings"]:
        say(one_line(f"warning: {warning}"))
    say(write_toml(planned["settings"]))
    say(columns(task_rows(planned["tasks"]), numbers=True))
    say()
    say(columns(stage_rows(planned["stages"]), numbers=True))
    if planned["adapted"]["projections"]:
        say(f"\n{adapted_line(planned['adapted'])}")
    for prompt in planned["prompts"]:
        print_prompt(prompt)
    for what, needs in planned["estimate"].items():
        say(f"\n{what}, estimated")
        print_pairs([(name, size(number)) for name, number in needs.items()], indent=2)


def task_rows(tasks: list[dict[str, Any]]) -> list[list[str]]:
    """Return a table of the tasks."""
    header = ["task", "options", "train", "dev", "test", "majority, %"]
    body = [
        [
            task["name"],
            str(len(task["options"]) or "free text"),
            *(str(task[split]) for split in ("train", "dev", "test")),
            percent(task["majority"]),
        ]
        for task in tasks
    ]
    return [header, *body]


def stage_rows(stages: list[dict[str, Any]]) -> list[list[str]]:
    """Return a table of the stages."""
    header = ["stage", "steps", "rows", "tokens", "trained", "stored"]
    numbers = ("tokens", "trainable_parameters", "stored_parameters")
    body = [
        [
            stage["task"],
            str(stage["steps"]),
            str(stage["rows"]),
            *(count(stage[key]) for key in numbers),
        ]
        for stage in stages
    ]
    return [header, *body]


def adapted_line(adapted: dict[str, list[str]]) -> str:
    """Say which projections have LoRAs, and where that includes the key."""
    line = f"adapted: {', '.join(adapted['projections'])}"
    held = ", ".join(adapted["with_key"])
    return f"{line}; {held}: query, key and value in one, so the key as well" if held else line


def print_prompt(prompt: dict[str, Any]) -> None:
    """Print one row as the model sees it; the loss looks at the ids after the bar only."""
    say(f"\n{one_line(prompt['task'])}, row {prompt['row']}")
    for line in f"{prompt['text']}|{prompt['answer']}".split("\n"):
        say(f"  {line}")
    ids, mask = prompt["input_ids"], prompt["loss_mask"]
    if "target_ids" in prompt:
        before, after = ids, prompt["target_ids"]
    else:
        start = mask.index(1)
        before, after = ids[:start], ids[start:]
    say(f"  {' '.join(map(str, before))} | {' '.join(map(str, after))}")
