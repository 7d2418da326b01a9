"""Run folders changed in a thousand ways: every command ends well or in one clear line."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from amlora import files
from hostile import FINE, REFUSED, broken, changed, check, outcome, replaced

COUNT, FEW = 1000, 24
NAMES = (
    *("record.json", "record.json", "record.json", "measured.json", "attention.json"),
    *("rows.jsonl", "config.toml"),
)


def seal(folder: Path, record: dict[str, Any]) -> None:
    """Write a record with right digests of all that lies beside it, as whoever made it up would."""
    record = {key: value for key, value in record.items() if key != "digest"}
    for name in ("rows.jsonl", "attention.json", "config.toml"):
        key = name.partition(".")[0] + "_digest"
        if key in record and (folder / name).is_file():
            record[key] = files.sha256_file(folder / name)
    if isinstance(record.get("settings"), dict):
        record["settings_digest"] = files.digest(record["settings"])
    files.write_sealed(folder / "record.json", record)


def mutate(folder: Path, chance: random.Random) -> str:
    """Change one file of a run; return how."""
    name = chance.choice(NAMES)
    path = folder / name
    kind = chance.choice(("value", "value", "value", "bytes", "special"))
    if kind == "special":
        replaced(path, chance)
    elif kind == "bytes" or name == "config.toml":
        path.write_bytes(broken(path.read_bytes(), chance))
        if name != "record.json" and chance.random() < 0.7:
            seal(folder, files.read_sealed(folder / "record.json"))
    else:
        try:
            if name == "rows.jsonl":
                lines = path.read_text().splitlines()
                at = chance.randrange(len(lines))
                lines[at] = json.dumps(changed(json.loads(lines[at]), chance))
                path.write_text("\n".join(lines) + "\n")
                seal(folder, files.read_sealed(folder / "record.json"))
            elif name == "record.json":
                seal(folder, changed(files.read_sealed(path), chance))
            else:
                path.write_text(json.dumps(changed(json.loads(path.read_text()), chance)))
                seal(folder, files.read_sealed(folder / "record.json"))
        except (ValueError, OverflowError):  # a value that JSON does not have
            path.write_text("1e400")
    return f"{name}: {kind}"


def commands(folder: Path, out: Path, chance: random.Random) -> list[tuple[object, ...]]:
    """Return what is done with a changed run: two quick commands, and one of the slower."""
    runs = folder.parent
    slow = chance.choice(
        (
            ("report", folder, "--out", out, "--force"),
            ("table", "pairs", runs, "--against", "am_lora"),
            ("table", "paper-1", runs),
            ("figure", "picks", folder, "--out", out.with_suffix(".md"), "--force"),
            ("figure", "3", runs, "--out", out.with_suffix(".csv"), "--force"),
            *[("table", "methods", folder)] * 3,
        )
    )
    return [("ls", runs), chance.choice((("show", folder), ("show", folder, "--json"))), slow]


def test_no_command_on_a_changed_run_ends_in_a_traceback_or_hangs(undisturbed, tmp_path, part):
    whole = shutil.copytree(undisturbed.folder, tmp_path / "whole", ignore=lambda *_: ["skills"])
    ends: dict[str, str] = {}
    for number in range(COUNT if part == "all" else FEW):
        chance = random.Random(number)
        runs = tmp_path / "runs"
        files.remove(runs)
        folder = shutil.copytree(whole, runs / undisturbed.folder.name)
        shutil.copytree(whole, runs / "beside-am_lora-0000-0")
        how = mutate(folder, chance)
        for words in commands(folder, tmp_path / "report.html", chance):
            ends[f"change {number}, {how}, {' '.join(map(str, words))}"] = outcome(*words)
    check(ends)
    assert {*ends.values()} == {FINE, REFUSED}


def test_a_run_whose_record_is_changed_keeps_its_checkpoint(undisturbed, tmp_path, part):
    """Whatever is changed of a record, `run` refuses the folder or finds it whole."""
    whole = shutil.copytree(undisturbed.folder, tmp_path / "whole")
    ends: dict[str, str] = {}
    for number in range(100 if part == "all" else 3):
        chance = random.Random(10_000 + number)
        runs = tmp_path / "runs"
        files.remove(runs)
        folder = shutil.copytree(whole, runs / undisturbed.folder.name)
        (folder / "checkpoint").mkdir()
        record = folder / "record.json"
        before = record.read_bytes()
        record.write_bytes(broken(before, chance))
        ends[f"change {number}"] = outcome("run", undisturbed.file, "--runs", runs, "-q")
        assert record.read_bytes() == before or (folder / "checkpoint").is_dir(), number
    check(ends)
