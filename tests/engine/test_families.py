"""Model families that differ in where projections read, and in what they keep between steps."""

import json

import pytest
import torch

from amlora.engine.encode import Row
from amlora.engine.exact import answer_logits, disagreement, score_rows
from amlora.engine.generate import inference
from amlora.engine.load import try_out
from amlora.engine.prefix import shared_prefix
from amlora.engine.settings import EvaluateSettings
from amlora.errors import InputError
from amlora.experiment.prepare import prepare
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings
from amlora.skills.load import open_skills
from families import FAMILIES, TARGETS, save_family
from small_run import small_settings, write_tasks
from trained import load_base

REFUSED = {"bert without is_decoder", "xlm"}
SHARED = {"bert", "roberta"}
"""Families, of those here, whose prompts' start is run once."""
BLURRED = {"recurrent_gemma"}
"""Its convolution reaches back into padding, so a padded row is read a little otherwise."""
QUICK = {"bert2bert", "minimax", "recurrent_gemma", "roberta", "t5gemma"}
CASES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(set(FAMILIES) - REFUSED)
]
ENDS = [(50,), (51, 52, 53), (54, 55), (50,) * 9, (56, 57)]


def settings(family, folder) -> RunSettings:
    model = save_family(family, folder / "model")
    write_tasks(folder / "data", rows=2)
    path = folder / "small.toml"
    path.write_text(small_settings(folder / "data", model))
    overrides = ["model.max_tokens=120", "train.steps=1"]
    if targets := TARGETS.get(family):
        overrides.append(f"method.lora.targets={json.dumps(targets)}")
    return load_settings(path, overrides)


def prompts(backbone) -> list[Row]:
    shared = tuple(range(20, 45))
    return [
        Row("t", str(i), (*shared, *end), (90 + i % 3, 95, backbone.end_id), "Good")
        for i, end in enumerate(ENDS)
    ]


@pytest.mark.parametrize("family", CASES)
def test_a_family_learns_is_scored_as_it_generates_and_loads_again(family, tmp_path):
    folder = run(settings(family, tmp_path), runs=tmp_path / "runs")
    found = json.loads((folder / "attention.json").read_text())
    backbone, skills = open_skills(folder, precision="float32", device="cpu")
    assert found["modules"] == list(skills.mixture.layers)
    rows = prompts(backbone)
    with inference(backbone):
        prefix = shared_prefix(backbone, rows)
        passed = answer_logits(backbone, [prefix.cut(row) for row in rows], prefix).split(3)
        apart = [disagreement(backbone, *pair) for pair in zip(rows, passed, strict=True)]
    assert (prefix.length > 0) == (family in SHARED)
    assert max(apart) < (0.5 if family in BLURRED else 1e-4)
    ours, _ = score_rows(backbone, rows, EvaluateSettings(tokens_per_batch=128, max_new_tokens=4))
    theirs, _ = score_rows(backbone, rows, EvaluateSettings(method="generate", max_new_tokens=4))
    assert [answer.hit for answer in ours] == [answer.hit for answer in theirs]


@pytest.mark.parametrize(
    "family", ["bert without is_decoder", pytest.param("xlm", marks=pytest.mark.slow)]
)
def test_a_model_that_reads_ahead_is_refused_before_it_learns(family, tmp_path):
    with pytest.raises(InputError, match=r"^model\.name: .* reads ahead, so it cannot learn"):
        prepare(settings(family, tmp_path))


def test_what_a_model_raises_when_it_runs_is_told_in_one_line(llama_folder):
    backbone = load_base(llama_folder)
    backbone.model.set_input_embeddings(torch.nn.Embedding(2, 48))
    with pytest.raises(
        InputError, match=r"^model\.name: cannot run .* on a text: IndexError: index out"
    ):
        try_out(backbone)
