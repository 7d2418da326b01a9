"""Make the sample of prompts' vectors that a test routes: `tests/mixture/data/prompts.safetensors`.

    python benchmarks/router_sample.py --data DIR OUT.safetensors

Vectors alone, of six tasks that are easily mixed up, projected at random to fewer numbers and
rounded to float16, so that they are small and no text can be read from them.
"""

import argparse
from pathlib import Path

import torch
from router_prompts import asked, bare, read
from router_ways import BEST
from safetensors.torch import save
from torch import Tensor

from amlora import files
from amlora.engine.load import load_backbone
from amlora.engine.route import Reader
from amlora.engine.settings import ModelSettings
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings

TASKS = ("mnli", "rte", "amazon", "yelp", "agnews", "yahoo")
TRAIN, TEST, WIDTH = 32, 20, 128


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder in the reference layout")
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    files.write_bytes(chosen.out, save(sample(chosen.data)))


def sample(data: str) -> dict[str, Tensor]:
    """Return "TASK.KIND" (rows, WIDTH), of training prompts and test prompts in three kinds."""
    backbone = load_backbone(
        ModelSettings(name="smollm2-135m", precision="float32", device="cpu", max_tokens=512)
    )
    stream = load_stream(
        StreamSettings(
            order="4",
            data_root=data,
            dev_from="train",
            balanced=True,
            train_per_task=TRAIN,
            test_per_task=TEST,
        )
    )[0]
    reader = Reader(backbone, BEST)
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(backbone.model.config.hidden_size, WIDTH, generator=generator)
    out: dict[str, Tensor] = {}
    for task in stream.tasks:
        if task.name not in TASKS:
            continue
        train, test = ([row.text for row in rows] for rows in (task.train, task.test))
        for kind, prompts in {
            "train": [asked(task, text) for text in train],
            "train alone": [bare(text) for text in train],
            "asked": [asked(task, text) for text in test],
            "other words": [asked(task, text, 5, 5) for text in test],
            "alone": [bare(text) for text in test],
        }.items():
            vectors = reader.vectors(read(backbone, prompts))
            out[f"{task.name}.{kind}"] = (vectors @ projection).half()
    return out


if __name__ == "__main__":
    main()
