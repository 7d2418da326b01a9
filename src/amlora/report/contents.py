"""The page's list of contents: links to its parts, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.report.choice_view import ChoiceView
from amlora.report.paper_view import PaperView
from amlora.report.run_view import RunView
from amlora.report.stream_view import StreamView


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A link and those below it."""

    anchor: str
    title: str
    parts: tuple["Entry", ...] = ()


def contents(
    streams: Sequence[StreamView],
    paper: PaperView | None,
    choices: ChoiceView | None,
    runs: Sequence[RunView],
    *,
    folded: bool,
) -> list[Entry]:
    """Return the entries of a page.

    Args:
        streams: the parts of the page, in its order.
        paper: see there.
        choices: see there.
        runs: all runs.
        folded: whether they stand folded below one heading; then they are not listed one by one.
    """
    entries = [
        Entry(anchor=stream.anchor, title=stream.title, parts=tuple(stream_parts(stream)))
        for stream in streams
    ]
    if paper:
        tables = [Entry(anchor=each.anchor, title=each.short) for each in paper.tables]
        entries.append(Entry(anchor="paper", title="Beside published numbers", parts=tuple(tables)))
    if choices:
        entries.append(Entry(anchor="choices", title="How learning rates were chosen"))
    if folded:
        entries.append(Entry(anchor="runs", title=f"Runs ({len(runs)})"))
    else:
        parts = len(runs) == 1
        entries.extend(
            Entry(anchor=run.anchor, title=run.label, parts=tuple(run_parts(run)) if parts else ())
            for run in runs
        )
    return entries


def stream_parts(stream: StreamView) -> list[Entry]:
    """Return the entries of one stream."""
    parts = [Entry(anchor=f"{stream.anchor}-curves", title="Each task over the stages")]
    if stream.pairs or stream.pair_notes:
        parts.insert(0, Entry(anchor=f"{stream.anchor}-pairs", title="In pairs"))
    if stream.general:
        parts.insert(0, Entry(anchor=f"{stream.anchor}-general", title="General ability"))
    parts.extend(Entry(anchor=each.anchor, title=each.short) for each in stream.studies)
    return parts


def run_parts(run: RunView) -> list[Entry]:
    """Return the entries of one run."""
    parts = [("accuracy", "Accuracy", True)]
    parts.append(("borders", "Borders", run.borders is not None))
    parts.append(("entered", "When a newcomer enters", bool(run.entered)))
    parts.append(("routing", "Stages", run.record.routing is not None))
    parts.append(("general", "General ability", run.general is not None))
    parts.append(("attention", "Attention", run.attention is not None))
    parts.append(("behind", "Behind the figures", True))
    return [
        Entry(anchor=f"{run.anchor}-{name}", title=title) for name, title, there in parts if there
    ]
