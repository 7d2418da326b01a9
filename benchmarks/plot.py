"""Draw what an adapted layer costs as tasks are added, from kept results.

    python benchmarks/plot.py benchmarks/results/amd-epyc-2-cores.json docs/images/cost.svg

The same results give the same bytes.
"""

import argparse
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from amlora import files

ROW = re.compile(r"(?P<series>.+) / frozen linear, time, fp32, N=(?P<loras>\d+)")
Series = dict[str, dict[int, float]]
"""Multiples of the frozen layer's time, by what was measured and by the number of LoRAs."""
COUNTED = "counted operations of the mixture"
STYLES = {
    "layer": ("AM-LoRA, as it is while a task is learned", "#0072b2", "o-"),
    "one LoRA of as many rows": ("one LoRA of rank 8 N, all trained", "#777777", "s--"),
    "textbook form": ("the textbook form", "#d55e00", "^-"),
    COUNTED: (COUNTED, "#0072b2", ":"),
}
"""Label, colour, and marks of each series."""


def main() -> None:
    """Read results and write the drawing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    found = series_of(files.read_json(chosen.results))
    if not found:
        parser.error(f"{chosen.results}: has no rows of the benchmark 'cost'; run it first.")
    files.make_folder(chosen.out.parent)
    files.write_text(chosen.out, svg_of(figure_of(found)))


def series_of(record: Mapping[str, Any]) -> Series:
    """Take the series out of a results file."""
    found: Series = {}
    for benchmark in record["benchmarks"].values():
        for row in benchmark["rows"]:
            if match := ROW.fullmatch(row["name"]):
                loras = int(match["loras"])
                found.setdefault(match["series"], {})[loras] = row["ratio"]
                if match["series"] == "layer":
                    found.setdefault(COUNTED, {})[loras] = row["floor"]
    return found


def figure_of(found: Series) -> Figure:
    """Draw cost against the number of LoRAs, both axes logarithmic."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for name, (label, colour, style) in STYLES.items():
        if points := sorted(found.get(name, {}).items()):
            loras, cost = zip(*points, strict=True)
            axes.plot(loras, cost, style, color=colour, label=label, linewidth=1.6, markersize=5)
    ticks = sorted({loras for points in found.values() for loras in points})
    axes.set(xscale="log", yscale="log", xlabel="LoRAs in the layer (N), rank 8")
    axes.set_ylabel("training time, multiples of the frozen layer")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_locator(FixedLocator([1, 2, 4, 8, 16, 32]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    axes.grid(color="#cccccc", linewidth=0.6)
    axes.legend(frameon=False)
    return figure


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG without a date, text kept as text."""
    buffer = io.StringIO()
    settings: Any = {"svg.hashsalt": "amlora", "svg.fonttype": "none"}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    # matplotlib ends some lines with blanks, which editors and hooks would take away.
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


if __name__ == "__main__":
    main()
