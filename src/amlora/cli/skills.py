"""`amlora eval`, `remove` and `rename`, and what `show` and `report` say of a skills folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from amlora.cli.model import Base, Device, Precision, SkillsFolder, Trust, skills_of
from amlora.cli.outcome import finish, plain
from amlora.cli.output import Json, columns, print_json, print_pairs, put
from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.format import size

Name = Annotated[str, typer.Argument(metavar="NAME", help="A skill.")]


def evaluate(
    skills: SkillsFolder,
    task: Annotated[str | None, typer.Option("--task", help="This skill alone.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Fresh rows of --task; its kept rows if left out.")
    ] = None,
    label: Annotated[
        str, typer.Option("--label", help="Column of the right answers in --data.")
    ] = "label",
    base: Base = None,
    device: Device = "auto",
    precision: Precision = "auto",
    trust_remote_code: Trust = False,
    as_json: Json = False,
) -> None:
    """Answer the kept rows of every skill again, or fresh rows of one, and score the answers."""
    from amlora.report.skills import ends_text, score_text

    if data is not None and task is None:
        raise InputError("--data: name the skill that the rows are of by --task.")
    folder = skills_of(skills, base, device, precision, trust_remote_code)
    found = folder.eval(task, data, label=label)
    if as_json:
        return print_json(plain(found))
    rows = [("SKILL", "ROWS", "SCORE", "95 %", "ANSWERED BY")]
    for each in found:
        by = ", ".join(f"{name} {count}" for name, count in each.answered_by.items())
        ends = ends_text(each.interval.low, each.interval.high)
        score = score_text(each.score, each.metric)
        rows.append((each.skill, str(each.rows), score, ends, by))
    say(columns(rows))


def remove(
    skills: SkillsFolder,
    name: Name,
    base: Base = None,
    device: Device = "auto",
    precision: Precision = "auto",
    trust_remote_code: Trust = False,
    as_json: Json = False,
) -> None:
    """Take a skill out of use, in a new version; its LoRA stays where another skill uses it."""
    folder = skills_of(skills, base, device, precision, trust_remote_code)
    finish(folder, folder.remove(name), as_json)


def rename(
    skills: SkillsFolder,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A skill.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is called from now on.")],
    as_json: Json = False,
) -> None:
    """Call a skill by another name, in a new version."""
    folder = skills_of(skills)
    finish(folder, folder.rename(old, new), as_json)


def is_skills(name: str) -> bool:
    """Tell whether a path is a skills folder, and no run or folder of runs."""
    path = Path(name).expanduser()
    return (path / "CURRENT").is_file() or (path / "versions").is_dir()


def show_skills(name: str, as_json: bool) -> None:
    """Print what is in a skills folder: its model, and each skill with its words."""
    shown = skills_of(name).show()
    if as_json:
        return print_json({"folder": name, **shown})
    base = shown["base"]
    revision = f"@{base['revision'][:7]}" if base["revision"] else ""
    say(one_line(f"{name}: version {int(shown['version'])}, {size(shown['bytes'])}"))
    say(one_line(f"base {base['name']}{revision}; LoRAs on {', '.join(shown['targets'])}"))
    for skill in shown["skills"]:
        say(f"\n{one_line(skill['name'])}")
        print_pairs(skill_pairs(skill), indent=2)


def skill_pairs(skill: dict[str, Any]) -> list[tuple[str, object]]:
    """Choose from what is known of a skill what a person wants to see."""
    from amlora.report.skills import ends_text, score_text

    learned = skill["learned"]
    pairs: list[tuple[str, object]] = [
        ("instruction", skill["instruction"] or None),
        ("answers", ", ".join(skill["options"]) or "free text"),
        ("LoRA", f"rank {skill['rank']}, {size(skill['bytes'])}"),
        ("uses", ", ".join(skill["uses"]) or "nothing"),
        ("kept", skill["kept"]),
    ]
    if learned is None:
        return pairs
    metric, interval = learned["metric"], learned["interval"]
    ends = ends_text(interval["low"], interval["high"])
    before = score_text(learned["zero_shot"], metric)
    rows = ", ".join(f"{learned['rows'][split]} {split}" for split in ("train", "stop", "kept"))
    return [
        ("score", f"{score_text(learned['score'], metric)} {ends}, {before} before learning"),
        ("learned from", f"{learned['data']}: {rows} rows; {learned['best']} steps"),
        *pairs,
    ]


def report_skills(name: str, version: str | None, out: Path | None) -> None:
    """Print the table of a version's skills, or write it as a page."""
    from amlora.report.skills_page import build_skills_page
    from amlora.report.skills_table import skills_sheet
    from amlora.report.write import write

    folder = skills_of(name)
    told = folder.history()
    shown = told.version(None if version is None else int(folder.numbered(version)))
    if out is None:
        put(write([skills_sheet(told, shown)], "text"), None)
    else:
        put(build_skills_page(told, shown), out)
