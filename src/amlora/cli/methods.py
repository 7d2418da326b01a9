"""`amlora methods`: what can learn, and each method's settings."""

from typing import Annotated, Any

import typer

from amlora.cli.output import Json, columns, print_json, print_pairs


def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's settings.")] = None,
    as_json: Json = False,
) -> None:
    """List the methods, or one method's settings with their defaults."""
    from amlora.methods import method_class, method_names

    if name is not None:
        method_class(name)  # refuses an unknown name before the others are imported
    facts = [describe(each) for each in ([name] if name else method_names())]
    if as_json:
        return print_json(facts if name is None else facts[0])
    if name is None:
        rows = [
            (f["name"], f["schedule"], "yes" if f["needs_task_id"] else "no", f["summary"])
            for f in facts
        ]
        print(columns([("METHOD", "SCHEDULE", "TASK ID", "WHAT IT IS"), *rows]))
        return
    fact = facts[0]
    print(f"{fact['name']}: {fact['summary']}\n{fact['about']}\n")
    print_pairs([(f"method.{key}", value) for key, value in flat(fact["defaults"])])


def describe(name: str) -> dict[str, Any]:
    """Return a method's facts: the first lines of its file and class, and its defaults."""
    import sys

    import msgspec

    from amlora.methods import method_class

    method = method_class(name)
    return {
        "name": name,
        "summary": first_line(sys.modules[method.__module__].__doc__),
        "about": first_line(method.__doc__),
        "schedule": method.schedule,
        "needs_task_id": method.needs_task_id,
        "version": method.version,
        "defaults": msgspec.to_builtins(method.Settings()),
    }


def first_line(text: str | None) -> str:
    """Return the first line of a docstring."""
    return (text or "").strip().partition("\n")[0]


def flat(table: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """Return a nested table's settings by dotted path, values as TOML shows them."""
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found.extend(flat(value, f"{path}{key}."))
        else:
            found.append((f"{path}{key}", shown(value)))
    return found


def shown(value: Any) -> str:
    """Show a default as it would stand in a settings file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) for item in value)}]"
    if value is None:
        return '"none"'
    return f'"{value}"' if isinstance(value, str) else str(value)
