"""Which stages answered the rows of each task in the last evaluation."""

from collections.abc import Sequence
from typing import Any

from amlora.formats import parse_json
from amlora.mixture.route import NONE


def routing(rows: bytes, stages: Sequence[str]) -> dict[str, Any] | None:
    """Return the mean weight of each stage over each task's rows.

    Args:
        rows: the contents of rows.jsonl.
        stages: the names of all.

    Returns:
        {"stages": ["none", ...], "tasks": [...], "shares": [task][stage]}; None where the method
        routes no rows.
    """
    lines = [parse_json("rows.jsonl", line) for line in rows.splitlines()]
    last = max(line["after"] for line in lines)
    found: dict[str, list[dict[str, float]]] = {}
    for line in lines:
        if line["after"] == last and line["phase"] == "learned" and "stages" in line:
            found.setdefault(line["task"], []).append(line["stages"])
    if not found:
        return None
    names = [NONE, *stages]
    shares = [
        [sum(row.get(name, 0.0) for row in routed) / len(routed) for name in names]
        for routed in found.values()
    ]
    return {"stages": names, "tasks": list(found), "shares": shares}
