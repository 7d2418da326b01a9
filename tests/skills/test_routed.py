"""Skills whose stages are kept, or whose LoRAs have gates: the loaded model routes itself."""

import copy
import gc
import json
import shutil
import threading
import weakref
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
from amlora.methods.anchored_lora import AnchoredLoRA
from amlora.methods.gain_lora import GainLoRA, GainLoRASettings
from amlora.mixture.manifest import TaskCard
from amlora.mixture.route import Gating
from amlora.skills.load import LoadedSkills, attach, open_skills, skills_of
from amlora.streams.prompt import Prompt
from command import amlora as amlora_command
from methods.learning import STAGES, learn, make
from trained import load_base

CARDS = tuple(TaskCard(name=s.task, instruction="What?", options=("x", "y")) for s in STAGES)
PROMPTS = [
    ids
    for i in range(2)
    for s in STAGES
    for ids in (s.rows[i].prompt_ids, (1, 30 + i, 50, 45, 46, 47))
]


@pytest.fixture(scope="module", params=["sum", "attention", "gated"])
def learned(request, any_folder, tmp_path_factory) -> tuple[Any, Path]:
    """A method that has learned three stages, and the folder of its skills."""
    folder = tmp_path_factory.mktemp("learned") / "skills"
    if request.param == "gated":
        method: Any = GainLoRA(load_base(any_folder), GainLoRASettings(), seed=0)
    else:
        method = make(any_folder, "anchored_lora", combine=request.param, reject=0.2)
    for stage in STAGES:
        learn(method, stage, lr=5e-2)
    method.backbone.model.eval()
    if request.param == "gated":
        method.router = Router(method.backbone, method.gates)
    attach(method.backbone.model, LoadedSkills(method.mixture, base_of(method.backbone), CARDS, {}))
    assert amlora.save(method.backbone.model, folder) == "0001"
    return method, folder


def opened(folder: Path) -> tuple[Any, LoadedSkills]:
    return open_skills(folder, device="cpu", precision="float32")


def padded(backbone):
    """All prompts as a user's tokenizer would pad them."""
    longest, left = max(map(len, PROMPTS)), backbone.family == "decoder-only"
    ids, mask = [], []
    for prompt in PROMPTS:
        more = longest - len(prompt)
        pads, own = [backbone.pad_id] * more, [1] * len(prompt)
        ids.append([*pads, *prompt] if left else [*prompt, *pads])
        mask.append([0] * more + own if left else own + [0] * more)
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def test_a_loaded_model_routes_as_the_method_did(learned):
    method, folder = learned
    readme = (folder / "versions" / "0001" / "README.md").read_text()
    gated = method.mixture.gates is not None
    told = "its gate, a small" if gated else "by the base model alone where it looks like none"
    assert told in readme
    _, skills = opened(folder)
    assert skills.router is not None
    routes = [skills.router.route(ids) for ids in PROMPTS]
    assert routes == [method.router.route(ids) for ids in PROMPTS]
    assert len(set(routes)) == (len(set(PROMPTS)) if gated else 4)


def test_generate_on_a_loaded_model_answers_each_prompt_by_its_stage(learned):
    method, folder = learned
    backbone, _ = opened(folder)
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    inputs = padded(backbone)
    found = backbone.model.generate(**inputs, **options)
    assert torch.equal(backbone.model.generate(**inputs, **options, use_cache=False), found)
    routes = [method.router.route(ids) for ids in PROMPTS]
    model: Any = method.backbone.model
    with method.backbone.routing.of(routes, torch.device("cpu")):
        assert torch.equal(model.generate(**inputs, **options), found)
    beams = backbone.model.generate(**inputs, **options, num_beams=2, num_return_sequences=2)
    assert len(beams) == 2 * len(found)


def test_padding_is_left_out_of_a_prompts_route_without_a_mask_too(learned):
    backbone, skills = opened(learned[1])
    assert skills.router is not None
    inputs, options = padded(backbone), {"max_new_tokens": 5, "do_sample": False}
    found = backbone.model.generate(inputs["input_ids"], **options)
    assert set(skills.router.found) == set(PROMPTS)
    if backbone.family == "decoder-only":  # an encoder reads padding where no mask is given
        assert torch.equal(backbone.model.generate(**inputs, **options), found)
    skills.router.found.clear()
    more = {"decoder_input_ids": torch.zeros(len(PROMPTS), 1, dtype=torch.int64)}
    more = more if backbone.family == "encoder-decoder" else {}
    backbone.model(*inputs.values(), **more)  # a mask that is not named
    assert set(skills.router.found) == set(PROMPTS)


def test_a_pad_token_that_ends_answers_too_is_part_of_a_prompt(learned):
    backbone, skills = opened(learned[1])
    assert skills.router is not None
    pad = skills.router.backbone.pad_id = min(backbone.end_ids)
    prompt = (*PROMPTS[0], pad)
    backbone.model.generate(torch.tensor([prompt]), max_new_tokens=2)
    assert set(skills.router.found) == {prompt}


def test_answers_through_the_engine_are_routed_too(learned):
    method, folder = learned
    backbone, skills = opened(folder)
    with inference(backbone):
        found = generate_ids(backbone, PROMPTS, 5)
    with inference(method.backbone):
        routes = [method.router.route(ids) for ids in PROMPTS]
        assert generate_ids(method.backbone, PROMPTS, 5, routes=routes) == found
    prompts = [Prompt("", "a good film", ""), Prompt("", "the market fell", "")]
    how = {"options": ("Good", "Bad"), "tokens_per_batch": 64}
    ours = option_scores(backbone, prompts, **how, router=skills.router)
    theirs = option_scores(method.backbone, prompts, **how, router=method.router)
    assert torch.equal(ours, theirs)


def test_a_forward_pass_of_a_loaded_model_is_the_methods_bit_for_bit(learned):
    method, folder = learned
    backbone, _ = opened(folder)
    ids = torch.tensor([STAGES[0].rows[0].prompt_ids])
    more = {"decoder_input_ids": ids[:, :2]} if backbone.family == "encoder-decoder" else {}
    with torch.no_grad():
        found = backbone.model(input_ids=ids, **more).logits
        assert torch.equal(backbone.model(ids, **more).logits, found)
        route = method.router.route(STAGES[0].rows[0].prompt_ids)
        with method.backbone.routing.of([route], torch.device("cpu")):
            assert torch.equal(method.backbone.model(input_ids=ids, **more).logits, found)
        other = method.backbone.model(input_ids=ids, **more).logits
    assert not torch.equal(other, found)  # all LoRAs as they are


def test_a_failed_forward_pass_leaves_no_route_behind(learned):
    backbone, skills = opened(learned[1])

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    layer = next(iter(skills.mixture.layers.values()))
    layer.register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError):
        backbone.model(input_ids=torch.tensor([PROMPTS[0]]))
    assert backbone.routing.now is None


def test_what_cannot_be_routed_is_refused(learned):
    backbone, _ = opened(learned[1])
    model = backbone.model
    ids = torch.tensor([PROMPTS[0]])
    vectors = model.get_input_embeddings()(ids)
    with pytest.raises(InputError, match="give input_ids"):
        model(inputs_embeds=vectors)
    with pytest.raises(InputError, match="give input_ids"):
        model.generate(inputs_embeds=vectors)
    with pytest.raises(InputError, match="a prompt without tokens"):
        model.generate(ids, attention_mask=torch.zeros_like(ids))
    if backbone.family == "decoder-only":
        cache = model(ids, use_cache=True).past_key_values
        with pytest.raises(InputError, match=r"use model\.generate"):
            model(ids[:, :1], past_key_values=cache)
        with pytest.raises(InputError, match=r"use model\.generate"):
            model(ids[:, :1], None, None, cache)
    assert model.generate(ids, max_new_tokens=2) is not None  # nothing is left closed


def test_a_part_of_the_model_called_by_itself_is_refused(learned):
    backbone, _ = opened(learned[1])
    model: Any = backbone.model
    ids, more = torch.tensor([PROMPTS[0]]), {}
    parts = [model.base_model, model.get_decoder()]
    if backbone.family == "encoder-decoder":
        parts.append(model.get_encoder())
        more = {"decoder_input_ids": ids[:, :2]}
    for part in parts:
        if part is not model:  # T5 is its own base model
            with pytest.raises(InputError, match="call the whole model"):
                part(input_ids=ids)
    assert model(input_ids=ids, **more).logits is not None
    assert model.generate(ids, max_new_tokens=2) is not None


def test_a_model_is_freed_as_soon_as_nobody_holds_it(learned):
    gc.collect()
    gc.disable()
    try:
        model: Any = amlora.load(learned[1], device="cpu", precision="float32")[0]
        model.generate(torch.tensor([PROMPTS[0]]), max_new_tokens=2)
        twin = copy.deepcopy(model)
        held = weakref.ref(model), weakref.ref(twin)
        del model
        assert held[0]() is None
        assert twin.generate(torch.tensor([PROMPTS[0]]), max_new_tokens=2) is not None
        del twin
        assert held[1]() is None
    finally:
        gc.enable()


def test_routes_that_a_caller_has_given_hold_for_generate_too(learned):
    method, folder = learned
    backbone, skills = opened(folder)
    model, options = backbone.model, {"max_new_tokens": 5, "min_new_tokens": 5}
    ids = torch.tensor([PROMPTS[0]])
    own = skills.router.route(PROMPTS[0]) if skills.router else None
    for k in range(4):
        given: Any = tuple(float(j == k) for j in range(4))
        if method.mixture.gates is not None:
            given = Gating(given[1:])
        with backbone.routing.of([given], torch.device("cpu")):
            found = model.generate(ids, **options)
        with method.backbone.routing.of([given], torch.device("cpu")):
            theirs: Any = method.backbone.model
            assert torch.equal(type(theirs).generate(theirs, ids, **options), found)
        assert given != own or torch.equal(model.generate(ids, **options), found)


@pytest.mark.parametrize("call", ["generate", "forward"])
def test_calls_from_several_threads_wait_for_one_another(learned, call):
    backbone, skills = opened(learned[1])
    model: Any = backbone.model
    assert skills.router is not None
    routed = {skills.router.route(ids): ids for ids in PROMPTS}
    first, second = (torch.tensor([ids]) for ids in [*routed.values()][:2])
    more = {"decoder_input_ids": first[:, :1]} if backbone.family == "encoder-decoder" else {}

    def answer(ids: torch.Tensor) -> torch.Tensor:
        if call == "generate":
            return model.generate(ids, max_new_tokens=3, min_new_tokens=3)
        return model(ids, **more).logits

    alone = answer(second)
    inside, leave = threading.Event(), threading.Event()
    found: dict[str, torch.Tensor] = {}

    def wait(*_: object) -> None:
        if threading.current_thread() is other:
            inside.set()
            leave.wait(60)

    next(iter(skills.mixture.layers.values())).register_forward_pre_hook(wait)
    other = threading.Thread(target=lambda: found.update(other=answer(first)))
    ours = threading.Thread(target=lambda: found.update(ours=answer(second)))
    other.start()
    assert inside.wait(60)
    ours.start()
    ours.join(0.3)
    assert ours.is_alive() and not found
    leave.set()
    other.join(60)
    ours.join(60)
    assert torch.equal(found["ours"], alone)
    assert torch.equal(found["other"], answer(first))
    assert backbone.routing.now is None


def test_a_copied_model_routes_by_itself_and_saving_it_again_writes_nothing(learned):
    _, folder = learned
    backbone, _ = opened(folder)
    ids = torch.tensor([PROMPTS[0]])
    expected = backbone.model.generate(ids, max_new_tokens=4)
    twin = copy.deepcopy(backbone.model)
    mixture = backbone.model.amlora.mixture
    for layer in mixture.layers.values():
        layer.bank.b.zero_()
    for gate in mixture.gates.all if mixture.gates else ():
        gate.g3.zero_()
    assert torch.equal(twin.generate(ids, max_new_tokens=4), expected)
    assert skills_of(twin).router is not skills_of(backbone.model).router
    assert amlora.save(twin, folder) == "0001"


def test_the_layers_that_a_prompts_vector_is_taken_behind_are_stored(any_folder, tmp_path):
    method = make(any_folder, "anchored_lora", feature_layers=2, reject=0.0)
    assert isinstance(method, AnchoredLoRA)
    for stage in STAGES[:2]:
        learn(method, stage, lr=5e-2)
    base = base_of(method.backbone)
    attach(method.backbone.model, LoadedSkills(method.mixture, base, CARDS[:2], {}))
    amlora.save(method.backbone.model, tmp_path)
    readme = (tmp_path / "versions" / "0001" / "README.md").read_text()
    assert ("that it looks like. " in readme, "the base model alone" in readme) == (True, False)
    backbone, skills = opened(tmp_path)
    assert skills.router is not None and skills.router.reader is not None
    assert skills.router.reader.settings.feature_layers == 2
    vectors = [skills.router.stages.route(method.vector(ids)) for ids in PROMPTS]
    assert [skills.router.route(ids) for ids in PROMPTS] == vectors
    ids = torch.tensor([STAGES[0].rows[0].prompt_ids])
    found = backbone.model.generate(ids, max_new_tokens=5)
    with method.backbone.routing.of([(0.0, 1.0, 0.0)], torch.device("cpu")):
        model: Any = method.backbone.model.eval()
        assert torch.equal(model.generate(ids, max_new_tokens=5), found)


def test_a_stage_that_has_not_ended_cannot_be_saved(llama_folder, tmp_path):
    method = make(llama_folder, "anchored_lora")
    assert method.mixture is not None
    learn(method, STAGES[0])
    method.begin(STAGES[1])
    attach(
        method.backbone.model,
        LoadedSkills(method.mixture, base_of(method.backbone), (), {}),
    )
    with pytest.raises(InputError, match="2 of them, but 1 stages have ended"):
        amlora.save(method.backbone.model, tmp_path)


def test_a_damaged_statistic_or_gate_is_named(learned, tmp_path):
    folder = shutil.copytree(learned[1], tmp_path / "skills")
    gated = learned[0].mixture.gates is not None
    path = folder / "versions" / "0001" / f"{'gates' if gated else 'stages'}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{path.name}: truncated"):
        amlora.load(folder)


@pytest.mark.parametrize("choose", [(), ("--choose",)], ids=["generate", "choose"])
def test_predict_tells_which_stages_answered(learned, choose):
    words = "predict", learned[1], "a good film", "--task", STAGES[0].task, "--device", "cpu"
    status, out, err = amlora_command(*words, "--precision", "float32", "--json", *choose)
    assert status == 0, err
    (answer,) = json.loads(out)
    if learned[0].mixture.gates is not None:
        assert "stages" not in answer or answer["stages"] is None
        return
    assert set(answer["stages"]) <= {"none", *(stage.task for stage in STAGES)}
    assert sum(answer["stages"].values()) == 1
    likeliest = max(answer["posterior"], key=lambda name: answer["posterior"][name])
    assert sum(answer["posterior"].values()) == pytest.approx(1, abs=0.01)
    assert (answer["stages"] == {"none": 1}) == (answer["distance"] > 1)
    assert answer["distance"] > 1 or answer["stages"] == {likeliest: 1}
