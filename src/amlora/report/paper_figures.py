"""The paper's figures 3, 4 and 5, the sweep of the L1 weight and the rate of right picks, by name.

`studies` makes from runs what a page or a file shows: panels (`study.panel_svg`), their legend
(`study.key_svg`) and the same numbers as a table. The values alone come from `figure_3`,
`figure_4`, `figure_5`, `sparsity_sweep` and `picks`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from amlora.records.run import StoredRun as Run
from amlora.report.studies.draw_cells import study_5, study_sparsity
from amlora.report.studies.draw_curves import study_3, study_picks
from amlora.report.studies.draw_scores import study_4
from amlora.report.studies.figure_3 import WITH, WITHOUT, figure_3
from amlora.report.studies.figure_4 import figure_4
from amlora.report.studies.figure_5 import figure_5
from amlora.report.studies.picks import picks
from amlora.report.studies.sparsity import sparsity_sweep
from amlora.report.studies.study import Study

Name = Literal["3", "4", "5", "sparsity", "picks"]
NEEDS: Mapping[Name, str] = {
    "3": "runs of {with_} and of {without} on equal tasks, two or more, with one base model",
    "4": "runs of {with_} with their attention.json",
    "5": 'am_lora runs with method.selectors "new" and with "all", alike in all but sparsity',
    "sparsity": "am_lora runs with two or more values of method.sparsity, alike in all else",
    "picks": "runs whose attention.json holds `picked` and whose scores are not fixed",
}
"""What runs must hold for a figure, to say when they do not."""


def studies(
    name: Name,
    runs: Sequence[Run],
    *,
    labels: Mapping[Path, str] | None = None,
    with_: str = WITH,
    without: str = WITHOUT,
    task: str | None = None,
) -> list[Study]:
    """Return a figure's studies, one for each stream and base model; empty if runs hold none.

    Args:
        name: of the figure.
        runs: finished ones that were scored on test rows.
        labels: of lines, by run folder; None: named by method or run. Figures 3, 4 and picks.
        with_: figures 3 and 4: a line's label, or the name or method of runs.
        without: figure 3: what stands beside it.
        task: figure 4: this task alone.

    Raises:
        InputError: runs that cannot be put together, or no such task.
    """
    if name == "3":
        return list(map(study_3, figure_3(runs, with_=with_, without=without, labels=labels)))
    if name == "4":
        return list(map(study_4, figure_4(runs, with_=with_, task=task, labels=labels)))
    if name == "5":
        return list(map(study_5, figure_5(runs)))
    if name == "sparsity":
        return list(map(study_sparsity, sparsity_sweep(runs)))
    return list(map(study_picks, picks(runs, labels=labels)))


def needs(name: Name, *, with_: str = WITH, without: str = WITHOUT) -> str:
    """Say what runs must hold for a figure."""
    return NEEDS[name].format(with_=with_, without=without)
