"""Skills whose LoRAs have gates: saved, loaded, and gated by the loaded model itself."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import amlora
from amlora.engine.backbone import base_of
from amlora.engine.generate import generate_ids, inference
from amlora.engine.likelihood import option_scores
from amlora.engine.route import Router
from amlora.errors import InputError
from amlora.methods.gain_lora import GainLoRA, GainLoRASettings
from amlora.mixture.manifest import TaskCard
from amlora.mixture.route import Gating
from amlora.mixture.version import verify
from amlora.skills.load import Skills, attach, open_skills
from amlora.streams.prompt import Prompt
from methods.learning import STAGES, learn
from trained import load_base

CARDS = tuple(TaskCard(name=s.task, instruction="What?", options=("x", "y")) for s in STAGES[:2])
PROMPTS = [stage.rows[i].prompt_ids for i in range(2) for stage in STAGES]


@pytest.fixture(scope="module")
def gated(any_folder, tmp_path_factory) -> tuple[GainLoRA, Path]:
    """A method that has learned two stages, and the folder of its skills."""
    folder = tmp_path_factory.mktemp("gated") / "skills"
    method = GainLoRA(load_base(any_folder), GainLoRASettings(), seed=0)
    for stage in STAGES[:2]:
        learn(method, stage, lr=5e-2)
    method.backbone.model.eval()
    base = base_of(method.backbone)
    attach(method.backbone.model, Skills(method.mixture, base, CARDS, {}))
    assert amlora.save(method.backbone.model, folder) == "0001"
    return method, folder


def opened(folder: Path) -> tuple[Any, Skills]:
    return open_skills(folder, device="cpu", precision="float32")


def routes_of(method: GainLoRA) -> list[Gating | None]:
    vectors = method.vectors([stage.rows[i] for i in range(2) for stage in STAGES])
    return [method.gates.route(vector) for vector in vectors]


def test_a_loaded_model_answers_as_the_method_did(gated):
    method, folder = gated
    backbone, skills = opened(folder)
    assert skills.router is not None
    routes = routes_of(method)
    assert [skills.router.route(ids) for ids in PROMPTS] == routes
    assert len(set(routes)) == len(set(PROMPTS)) == 6
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    ids = torch.tensor(PROMPTS)
    found = backbone.model.generate(ids, **options)
    model: Any = method.backbone.model
    with method.backbone.routing.of(routes, torch.device("cpu")):
        assert torch.equal(model.generate(ids, **options), found)
    with inference(backbone), inference(method.backbone):
        theirs = generate_ids(method.backbone, PROMPTS, 5, routes=routes)
        assert generate_ids(backbone, PROMPTS, 5) == theirs


def test_a_forward_pass_is_gated_and_without_gates_is_another(gated):
    method, folder = gated
    backbone, _ = opened(folder)
    ids = torch.tensor(PROMPTS[:1])
    more = {"decoder_input_ids": ids[:, :2]} if backbone.family == "encoder-decoder" else {}
    with torch.no_grad():
        found = backbone.model(input_ids=ids, **more).logits
        with method.backbone.routing.of(routes_of(method)[:1], torch.device("cpu")):
            assert torch.equal(method.backbone.model(input_ids=ids, **more).logits, found)
        assert not torch.equal(method.backbone.model(input_ids=ids, **more).logits, found)


def test_options_are_scored_with_the_prompts_gates(gated):
    method, folder = gated
    backbone, skills = opened(folder)
    prompts = [Prompt("", "a good film", ""), Prompt("", "the market fell", "")]
    how = {"options": ("Good", "Bad"), "tokens_per_batch": 64}
    ours = option_scores(backbone, prompts, **how, router=skills.router)
    router = Router(method.backbone, method.gates)
    assert torch.equal(option_scores(method.backbone, prompts, **how, router=router), ours)


def test_a_copied_model_has_gates_of_its_own_and_saving_it_writes_nothing(gated):
    _, folder = gated
    backbone, skills = opened(folder)
    ids = torch.tensor(PROMPTS[:1])
    expected = backbone.model.generate(ids, max_new_tokens=4)
    twin = copy.deepcopy(backbone.model)
    assert skills.mixture.gates is not None
    for gate in skills.mixture.gates.all:
        gate.g3.zero_()
    assert torch.equal(twin.generate(ids, max_new_tokens=4), expected)
    assert amlora.save(twin, folder) == "0001"


def test_skills_with_gates_have_a_file_of_them_that_is_checked(gated, tmp_path):
    method, folder = gated
    manifest = verify(folder)
    assert manifest.gates == method.gates.settings
    path = folder / "versions" / "0001" / "gates.safetensors"
    data = path.read_bytes()
    try:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(InputError, match=r"gates\.safetensors: altered"):
            verify(folder)
    finally:
        path.write_bytes(data)
    assert "gate" in (folder / "versions" / "0001" / "README.md").read_text()
