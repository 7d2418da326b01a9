"""Measure how well a prompt's statistic tells its task, for `docs/methods/anchored_lora.md`.

    python benchmarks/statistic.py --data DIR OUT.json
    python benchmarks/statistic_tables.py OUT.json features

It reads the 15 tasks of order 4 in the reference layout and the quick-start model, takes vectors of
their prompts, and asks the statistic of `anchored_lora` for their stages. Results are written as
they come; `statistic_tables.py` prints them.

What is varied: the vector (mean input embedding, mean state after some frozen layers), covariance,
shrinkage, training rows per task, the prompt, and which tasks there are to choose from.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from statistic_tables import TABLES, table
from torch import Tensor

from amlora import files, formats
from amlora.engine.backbone import Backbone
from amlora.engine.encode import encode_rows
from amlora.engine.load import load_backbone
from amlora.engine.route import vector_of
from amlora.engine.settings import ModelSettings
from amlora.experiment.general import BUILTIN, general_rows, read_texts
from amlora.experiment.provenance import provenance
from amlora.mixture.normals import Covariance
from amlora.mixture.shrink import shrunk
from amlora.mixture.stages import Stages, StageSettings
from amlora.streams.load import load_stream
from amlora.streams.prompt import Form
from amlora.streams.settings import StreamSettings
from amlora.streams.task import TaskStream

DEPTHS = (0, 1, 2, 4)
"""0: the input embeddings. n: the states after the first n frozen layers."""
ROWS = (8, 16, 32, 64, 96)
"""Training rows per task."""
MOST = 160
"""Training rows for the embeddings' false rejects."""
REJECTS = ((0.001, 96), (0.01, 96), (0.001, MOST))
"""Rates with the training rows they are measured at."""
SHRINKAGES = (0.001, 0.01, 0.1, 0.5, 1.0)
BLURS = (0.1, 0.25, 0.4)
"""Shares of a stage's training rows that are the next task's."""
SHORT, LONG = 128, 512
"""Tokens a prompt may have: as in the studies of docs/results.md, and as in the paper."""
STREAMS: Mapping[str, tuple[str, ...]] = {
    "order 1": ("dbpedia", "amazon", "yahoo", "agnews"),
    "15 tasks": (),
    "amazon, yelp": ("amazon", "yelp"),
    "imdb, sst-2": ("imdb", "sst-2"),
}
"""Tasks to choose from; none named: all."""
BYTES = 4  # of a stored number


@dataclass(frozen=True)
class Vectors:
    """One vector for each of a task's prompts: (rows, D) for training rows and for test rows."""

    train: Tensor
    test: Tensor


Tasks = Mapping[str, Vectors]


@dataclass(frozen=True)
class Choice:
    """One way to tell stages apart."""

    prompt: Form
    max_tokens: int
    layers: int
    rows: int
    covariance: Covariance = "full"
    shrinkage: float | None = None
    reject: float = 0.0

    def settings(self) -> StageSettings:
        """Return it as the method takes it."""
        return StageSettings(
            mixing="hard",
            temperature=1.0,
            reject=self.reject,
            covariance=self.covariance,
            shrinkage=self.shrinkage,
        )

    def learned(self, tasks: Tasks) -> Stages:
        """Return the statistic after all tasks, in their order."""
        stages = Stages(self.settings())
        for vectors in tasks.values():
            stages.add(vectors.train[: self.rows])
        return stages


def main() -> None:
    """Measure, and print all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder in the reference layout")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--test", type=int, default=40, help="test rows per task")
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    settings = ModelSettings(name=chosen.model, precision="float32", device="cpu", max_tokens=SHORT)
    stream = StreamSettings(
        order="4",
        data_root=chosen.data,
        dev_from="train",
        balanced=True,
        train_per_task=MOST,
        test_per_task=chosen.test,
    )
    record = made(settings, stream)
    for part in measured(load_backbone(settings), load_stream(stream)[0]):
        for name, found in part.items():
            record[name] = record[name] + found if isinstance(found, list) else found
        files.write_json(chosen.out, record)
    for name in TABLES:
        print(f"\n{name}\n\n{table(record, name)}")


def made(model: ModelSettings, stream: StreamSettings) -> dict[str, Any]:
    """Return a record without results: how they are made. Where the data lies does not matter."""
    plain = formats.plain({"model": model, "stream": stream})
    plain["stream"]["data_root"] = ""
    own = {
        "depths": DEPTHS,
        "rows": ROWS,
        "rejects": REJECTS,
        "shrinkages": SHRINKAGES,
        "blurs": BLURS,
        "max_tokens": [SHORT, LONG],
    }
    return {
        "made": {**provenance(), "settings": {**plain, **own}},
        "scored": {},
        "cost": [],
        "shares": [],
        "foreign": [],
        "blurred": [],
        "returning": [],
    }


def measured(backbone: Backbone, stream: TaskStream) -> Iterator[dict[str, Any]]:
    """Give results in parts, the cheap ones first."""
    yield {"scored": {task.name: len(task.test) for task in stream.tasks}}
    prompts: tuple[Form, ...] = get_args(Form)
    strangers = vectors_of_no_task(backbone)
    long = replace(backbone, settings=backbone.settings.replace(max_tokens=LONG))
    for prompt in prompts:
        tasks, _ = gather(long, stream, prompt, 0, MOST)
        choice = Choice(prompt, LONG, 0, max(ROWS))
        yield {"shares": [shares(choice, name, tasks) for name in STREAMS]}
    for depth in DEPTHS:
        for prompt in prompts:
            tasks, cost = gather(backbone, stream, prompt, depth, max(ROWS) if depth else MOST)
            yield {"cost": [cost], **varied(prompt, depth, tasks, strangers[depth])}


def vectors_of_no_task(backbone: Backbone) -> dict[int, Tensor]:
    """Return the vectors, by depth, of the passages and questions of `evaluate.general`."""
    texts = read_texts(BUILTIN)
    assert texts is not None
    rows = general_rows(backbone, *texts)
    prompts = [row.prompt_ids for row in (*rows.passages, *rows.questions)]
    return {
        depth: torch.stack([vector_of(backbone, ids, depth) for ids in prompts]) for depth in DEPTHS
    }


def gather(
    backbone: Backbone, stream: TaskStream, prompt: Form, depth: int, most: int
) -> tuple[Tasks, dict[str, Any]]:
    """Take the vectors of all tasks' prompts at a depth; return them, and what that cost."""
    found: dict[str, Vectors] = {}
    prompts, tokens, begun = 0, 0, time.process_time()
    for task in stream.tasks:
        rows = [
            encode_rows(backbone, task, split, prefix="off", form=prompt)[0]
            for split in (task.train[:most], task.test)
        ]
        prompts += sum(map(len, rows))
        tokens += sum(len(row.prompt_ids) for split in rows for row in split)
        found[task.name] = Vectors(
            *(
                torch.stack([vector_of(backbone, row.prompt_ids, depth) for row in split])
                for split in rows
            )
        )
        print(f"{prompt}, {depth} layers: {task.name}", file=sys.stderr, flush=True)
    return found, {
        "prompt": prompt,
        "max_tokens": backbone.settings.max_tokens,
        "layers": depth,
        "prompts": prompts,
        "tokens": tokens,
        "processor_seconds": time.process_time() - begun,
    }


def varied(prompt: Form, layers: int, tasks: Tasks, strangers: Tensor) -> dict[str, list[Any]]:
    """Measure one vector in all ways."""
    usual = Choice(prompt, SHORT, layers, max(ROWS))
    kinds: tuple[Covariance, ...] = get_args(Covariance)
    rows = [replace(usual, covariance=kind, rows=count) for kind in kinds for count in ROWS]
    spheres = [replace(usual, covariance=k, shrinkage=s) for k in kinds for s in SHRINKAGES]
    there = min(len(vectors.train) for vectors in tasks.values())
    rejects = [replace(usual, rows=count, reject=rate) for rate, count in REJECTS if count <= there]
    return {
        "shares": [
            *(shares(choice, name, tasks) for choice in rows for name in STREAMS),
            *(shares(choice, "15 tasks", tasks) for choice in spheres),
        ],
        "foreign": [foreign(choice, tasks, strangers) for choice in rejects],
        "blurred": [
            blurred(replace(usual, reject=REJECTS[0][0]), blur, tasks, strangers) for blur in BLURS
        ],
        "returning": [returning(replace(usual, rows=max(ROWS) // 2), tasks)],
    }


def shares(choice: Choice, stream: str, tasks: Tasks) -> dict[str, Any]:
    """Return how many of each task's test rows go to its own stage, and what that stores."""
    named = STREAMS[stream] or tuple(tasks)
    tasks = {name: tasks[name] for name in named}
    stages = choice.learned(tasks)
    right = {name: places(stages, tasks[name].test).count(1 + k) for k, name in enumerate(named)}
    width = stages.means.shape[1]
    once = stages.size(0, width)
    _, sphere = shrunk(
        stages.own.scatter.double(),
        stages.own.fourth[0],
        int(stages.counts.sum()),
        choice.shrinkage,
    )
    return {
        **plain(choice),
        "stream": stream,
        "right": right,
        "sphere": sphere,
        "bytes_per_task": BYTES * (stages.size(1, width) - once),
        "bytes_once": BYTES * once,
    }


def foreign(choice: Choice, tasks: Tasks, strangers: Tensor) -> dict[str, Any]:
    """Return how many go to no stage: of learned tasks' rows, of each task's left out, of others.

    Args:
        choice: how.
        tasks: the learned ones.
        strangers: (prompts, D) of no task.
    """
    stages = choice.learned(tasks)
    left_out: dict[str, int] = {}
    for name, vectors in tasks.items():
        others = {other: tasks[other] for other in tasks if other != name}
        left_out[name] = places(choice.learned(others), vectors.test).count(0)
    return {
        **plain(choice),
        "own": {name: places(stages, vectors.test).count(0) for name, vectors in tasks.items()},
        "left_out": left_out,
        "strangers": places(stages, strangers).count(0),
        "strangers_scored": len(strangers),
    }


def blurred(choice: Choice, blur: float, tasks: Tasks, strangers: Tensor) -> dict[str, Any]:
    """Return where rows go if some of each stage's rows are the next task's.

    Args:
        choice: how.
        blur: the share of the next task's rows.
        tasks: in order; the first is next to the last.
        strangers: (prompts, D) of no task.
    """
    strange = round(blur * choice.rows)
    stages = Stages(choice.settings())
    names = list(tasks)
    for name, after in zip(names, [*names[1:], names[0]], strict=True):
        own = tasks[name].train[: choice.rows - strange]
        stages.add(torch.cat([own, tasks[after].train[:strange]]))
    found = {name: places(stages, tasks[name].test) for name in names}
    return {
        **plain(choice),
        "blur": blur,
        "right": {name: found[name].count(1 + k) for k, name in enumerate(names)},
        "own": {name: found[name].count(0) for name in names},
        "strangers": places(stages, strangers).count(0),
        "strangers_scored": len(strangers),
    }


def returning(choice: Choice, tasks: Tasks) -> dict[str, Any]:
    """Return where a task's test rows go once all were learned and it came again with new rows."""
    found = {"first": 0, "again": 0, "elsewhere": 0}
    for k, vectors in enumerate(tasks.values()):
        stages = choice.learned(tasks)
        stages.add(vectors.train[choice.rows : 2 * choice.rows])
        placed = places(stages, vectors.test)
        first, again = placed.count(1 + k), placed.count(len(stages))
        found["first"] += first
        found["again"] += again
        found["elsewhere"] += len(placed) - first - again
    return {**plain(choice), **found}


def places(stages: Stages, vectors: Tensor) -> list[int]:
    """Return the stage of each vector, counted from 1; 0 for none."""
    routes = [stages.route(vector) for vector in vectors]
    return [route.index(1.0) for route in routes if route is not None]


def plain(choice: Choice) -> dict[str, Any]:
    """Return a choice as plain values."""
    return formats.plain(choice)


if __name__ == "__main__":
    main()
