"""`amlora methods`: what can learn, what each method trains and keeps, and its settings."""

import copy
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amlora.cli.output import Json, columns, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.report.format import MISSING, count

if TYPE_CHECKING:
    from amlora.engine.backbone import Backbone

HEADER = ("METHOD", "SCHEDULE", "TASK ID", "EXAMPLES", "TRAINED", "STORED", "WHAT IT IS")
TASKS = 3  # that are begun to see what grows
WORDS = {  # what a task trains, and what is stored for answers; of other packages' methods no word
    **dict.fromkeys(
        ("ewc", "migu", "mtl", "replay", "seq_ft"), ("all weights, or one LoRA", "the same, once")
    ),
    **dict.fromkeys(
        ("arrow_lora", "inc_lora", "mean_lora", "n_lora", "o_lora"),
        ("a LoRA per task", "every task's LoRA"),
    ),
    "am_lora": ("a LoRA per task, all selectors", "every task's LoRA and selector"),
    "anchored_lora": (
        "a LoRA per task",
        "every task's LoRA, mean prompt and variances, one covariance",
    ),
    "gain_lora": ("B of a LoRA per task, its gate", "every task's LoRA and gate"),
    "inf_lora": ("B of a LoRA per task", "every task's LoRA"),
    "l2p": ("prompt pool and keys", "the same, once"),
    "lfpt5": ("one prompt", "the same, once"),
    "per_task_ft": ("all weights, or one LoRA", "the same for every task"),
    "prog_prompt": ("a prompt per task", "every task's prompt"),
    "sin_lora": ("one LoRA", "the same, once"),
}


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="METHOD", help="Show this method's settings.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Count parameters on this base model, with the defaults."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the methods with what they train and store, or one method's settings."""
    from amlora.methods import method_class, method_names

    if name is not None:
        method_class(name)  # refuses an unknown name before the others are imported
    facts = [describe(each) for each in ([name] if name else method_names())]
    if model is not None:
        add_counts(facts, model)
    if as_json:
        return print_json(facts if name is None else facts[0])
    if name is None:
        return say(columns([HEADER, *map(row, facts)]))
    from amlora.experiment.toml import write_toml

    fact = facts[0]
    say(f"{fact['name']}: {fact['summary']}\n{fact['about']}\n")
    print_pairs([("trained", fact["trained"]), ("stored", fact["stored"])])
    say(f"\n{write_toml({'method': {'name': name, **fact['defaults']}})}", end="")


def row(fact: dict[str, Any]) -> tuple[str, ...]:
    """Return a method's line."""
    return (
        fact["name"],
        fact["schedule"],
        "yes" if fact["needs_task_id"] else "no",
        "made up" if fact["makes_examples_up"] else "yes" if fact["stores_examples"] else "no",
        fact["trained"] or MISSING,
        fact["stored"] or MISSING,
        fact["summary"],
    )


def describe(name: str) -> dict[str, Any]:
    """Return a method's facts: the first lines of its file and class, and its defaults."""
    import sys

    from amlora.methods import method_class

    method = method_class(name)
    trained, stored = WORDS.get(name, (None, None))
    return {
        "name": name,
        "summary": first_line(sys.modules[method.__module__].__doc__),
        "about": first_line(method.__doc__),
        "schedule": method.schedule,
        "needs_task_id": method.needs_task_id,
        "stores_examples": method.stores_examples,
        "makes_examples_up": method.makes_examples_up,
        "trained": trained,
        "stored": stored,
        "version": method.version,
        "defaults": method.Settings().model_dump(mode="json"),
    }


def add_counts(facts: list[dict[str, Any]], model: str) -> None:
    """Count parameters on a base model, and put the counts in the place of the words."""
    from amlora.engine.load import load_backbone
    from amlora.engine.settings import ModelSettings

    try:
        settings = ModelSettings(name=model)
    except ValueError as error:
        raise InputError(f"--model: {error}") from None
    backbone = load_backbone(settings, frozen=False)
    for fact in facts:
        trained, stored = counted(fact["name"], backbone)
        fact["model"] = model
        fact["trained_parameters"], fact["stored_parameters"] = trained, stored
        fact["trained"], fact["stored"] = grown(trained), grown(stored)


def counted(name: str, backbone: "Backbone") -> tuple[list[int], list[int]]:
    """Begin a few tasks with a method, as `amlora run --dry-run` does.

    Args:
        name: the method, with its default settings.
        backbone: left as it is.

    Returns:
        Parameters trained in each stage, and stored after it; a joint method has one stage.
    """
    from amlora.engine.encode import encode_rows
    from amlora.experiment.borders import plan_stages
    from amlora.experiment.settings import settings_from
    from amlora.methods import method_class
    from amlora.streams.task import Example, Task

    own = copy.deepcopy(backbone)  # methods wrap layers
    row = Example(text="a text", label="yes", row="train:0")
    put = {"instruction": "Yes or no?", "options": ("yes", "no")}
    tasks = [
        Task(name=f"task-{index}", **put, train=(row,), dev=(), test=()) for index in range(TASKS)
    ]
    rows = [encode_rows(own, task, task.train, prefix="off", form="full")[0] for task in tasks]
    settings = settings_from(
        {"name": "counted", "method": {"name": name}, "stream": {"name": "quickstart"}}
    )
    chosen = method_class(name)
    method = chosen(own, settings.method.settings, seed=0)
    trained: list[int] = []
    stored: list[int] = []
    for stage in plan_stages(settings, tasks, rows, joint=chosen.schedule == "joint"):
        method.begin(stage)
        groups = method.parameters()
        trained.append(sum(weight.numel() for group in groups for weight in group.parameters))
        stored.append(method.stored_parameters())
    return trained, stored


def grown(counts: list[int]) -> str:
    """Show the first task's count, and by how much each further task adds to it."""
    more = counts[1] - counts[0] if len(counts) > 1 else 0
    if not more:
        return count(counts[0])
    if more == counts[0]:
        return f"{count(more)} a task"
    return f"{count(counts[0])}, {count(more)} more a task"


def first_line(text: str | None) -> str:
    """Return the first line of a docstring."""
    return (text or "").strip().partition("\n")[0]
