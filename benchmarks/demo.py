"""Most memory of a demo run above the loaded model, measured in a process of its own.

    python benchmarks/demo.py FOLDER      prints {"loaded": bytes, "peak": bytes} of FOLDER/run.toml

The loaded model is the process with torch, transformers and all weights read once. The run is the
quick start with fewer rows and steps: the longest rows still fill whole batches, in training and in
scoring, and every kind of work is done once. Bytes do not depend on what else the machine does.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from overhead import CONFIG, METHOD, made_up_run
from peak import highest, resident
from row import Row
from size import Size
from subjects import subjects

from amlora.engine.backbone import Backbone
from amlora.experiment import prepare
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings, to_toml

SHORT = (
    "stream.train_per_task=48",
    "stream.test_per_task=24",
    "train.steps=3",
    'evaluate.scope="ends"',
)
"""Three steps of eight rows in each task, and every task scored twice."""
BAR = 1.0
"""GB."""


def rows(size: Size) -> Iterator[Row]:
    """Measure the quick start, made small; where its model is not at hand, made-up tasks."""
    with subjects(size) as found, TemporaryDirectory() as name:
        folder, subject = Path(name), found[-1]
        if len(found) > 1:
            settings = load_settings(CONFIG, SHORT, METHOD)
        else:
            settings = made_up_run(subject, folder / "data", size)
        (folder / "run.toml").write_text(to_toml(settings), encoding="utf-8")
        command = [sys.executable, __file__, str(folder)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured = json.loads(told.splitlines()[-1])
    above = (measured["peak"] - measured["loaded"]) / 1e9
    yield Row(
        name="most memory of a demo run above the loaded model, GB",
        ratio=above,
        bar=BAR,
        floor=0.0,
        detail=f"{subject.label}, {METHOD}: {measured['peak'] / 1e9:.2f} GB at most,"
        f" {measured['loaded'] / 1e9:.2f} with the model alone",
    )


def measured(settings: RunSettings, runs: Path) -> dict[str, int]:
    """Do a run; return the bytes held once its model was loaded, and the most held in all."""
    loaded: list[int] = []

    def noting(load: Callable[..., Backbone]) -> Callable[..., Backbone]:
        def inside(*args: Any, **kwargs: Any) -> Backbone:
            backbone = load(*args, **kwargs)
            for weight in backbone.model.parameters():
                weight.sum()  # a weight is read from its file when it is first used
            loaded.append(resident())
            return backbone

        return inside

    with patch.object(prepare, "load_backbone", noting(prepare.load_backbone)):
        run(settings, runs=runs)
    return {"loaded": loaded[0], "peak": highest()}


def main() -> None:
    """Measure the run of a folder's settings file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(json.dumps(measured(load_settings(folder / "run.toml"), folder / "runs")))


if __name__ == "__main__":
    main()
