"""Measure how well a prompt finds its stage when it is not worded as in training: `docs/router.md`.

    python benchmarks/router.py --data DIR OUT.json [--only PART ..]
    python benchmarks/router_tables.py OUT.json words

Nothing is trained. It reads the 15 tasks of order 4 in the reference layout and the quick-start
model's input embeddings, and asks the package's own statistic, and rivals to it, for the stages of
prompts in other words, of many small tasks, of tasks of uneven sizes, and of none. Results are
written part by part.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from router_parts import DRAWS, PARTS
from router_ways import BEST, TODAY, WAYS, settings
from router_world import TEST, TRAIN, World, seen

from amlora import files, formats
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.experiment.provenance import provenance

MAX_TOKENS = 512


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder in the reference layout")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="some parts alone")
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    model = ModelSettings(
        name=chosen.model, precision="float32", device="cpu", max_tokens=MAX_TOKENS
    )
    world = seen(load_backbone(model), chosen.data)
    record = files.read_json(chosen.out) if chosen.only and chosen.out.exists() else {}
    record = {**record, **made(model, world)}
    for name in chosen.only or PARTS:
        begun = time.perf_counter()
        record[name] = PARTS[name](world, chosen.data)
        files.write_json(chosen.out, record)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def made(model: ModelSettings, world: World) -> dict[str, Any]:
    """Return how results are made. Where the data lies does not matter."""
    return {
        "made": {
            **provenance(),
            "settings": {
                "model": formats.plain(model),
                "order": "4",
                "train": TRAIN,
                "test": TEST,
                "draws": DRAWS,
                "best": formats.plain(BEST),
                "today": formats.plain(settings()),
                "ways": list(WAYS),
                "compared_with": TODAY,
            },
        },
        "scored": {task.name: len(task.test) for task in world.stream.tasks},
    }


if __name__ == "__main__":
    main()
