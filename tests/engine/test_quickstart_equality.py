"""On the real quick-start model and texts, in float32: the pass decides as generation does."""

import pytest
from accelerate import Accelerator

from amlora import files
from amlora.engine.backbone import load_backbone
from amlora.engine.builtin import BUILT_IN
from amlora.engine.encode import encode_rows
from amlora.engine.exact import exact_match, generated_match
from amlora.engine.settings import ModelSettings
from amlora.engine.train import Progress, TrainSettings, train_stage
from amlora.methods.am_lora import AMLoRA
from amlora.methods.base import Stage
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings

NEW = 12
ROWS = 8

pytestmark = pytest.mark.slow


def needs_the_cache():
    models = files.cache_folder() / "models"
    if not list(models.glob(f"{next(iter(BUILT_IN))}*")):
        pytest.skip("the quick-start model is not in the cache; `make demo` fetches it")


def test_every_decision_equals_generation_before_and_after_learning():
    needs_the_cache()
    backbone = load_backbone(ModelSettings(precision="float32", max_tokens=160))
    wanted = StreamSettings(name="quickstart", balanced=True, test_per_task=ROWS)
    stream, _ = load_stream(wanted)
    scored = [encode_rows(backbone, t, t.test, prefix="off", form="full") for t in stream.tasks]
    differing = compare(backbone, scored)
    method = AMLoRA(backbone, AMLoRA.Settings(), seed=0)
    rows = [
        row
        for task in stream.tasks
        for row in encode_rows(backbone, task, task.train[:16], prefix="off", form="full")
    ]
    stage = Stage(0, "all", rows, 6)
    method.begin(stage)
    settings = TrainSettings(lr=1e-3, batch=4)
    train_stage(method, stage, settings, Accelerator(cpu=True), Progress(), lambda *_: None)
    method.end(stage)
    differing += compare(backbone, scored)
    assert differing == []


def compare(backbone, scored):
    """Return the rows whose two decisions differ."""
    differing = []
    for rows in scored:
        ours, counts = exact_match(backbone, rows, tokens_per_batch=2048, max_new_tokens=NEW)
        reference, _ = generated_match(backbone, rows, max_new_tokens=NEW)
        print(rows[0].task, counts)
        pairs = zip(rows, ours, reference, strict=True)
        differing += [row.row for row, one, other in pairs if one.hit != other.hit]
    return differing
