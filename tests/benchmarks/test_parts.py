"""What the benchmarks are made of: rows, pairs, counts, clocks, drawings."""

import itertools
import json
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from amlora.engine import train
from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, target_logits, task_loss
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings

ROWS = [("layer", 1, 1.2, 1.1), ("layer", 15, 1.9, 1.4), ("textbook form", 15, 9.0, None)]


@pytest.fixture
def backbone(llama_folder) -> Backbone:
    return load_backbone(ModelSettings(name=str(llama_folder), precision="float32", device="cpu"))


@pytest.fixture
def results(tmp_path) -> Path:
    """A results file with rows of `cost`."""
    rows = [
        {
            "name": f"{series} / frozen linear, time, fp32, N={loras}",
            "ratio": ratio,
            "floor": floor,
            "bar": None,
            "direction": "at most",
            "detail": "D=576",
        }
        for series, loras, ratio, floor in ROWS
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"benchmarks": {"cost": {"rows": rows}}}))
    return path


@pytest.mark.parametrize(
    ("ratio", "direction", "met"),
    [(1.1, "at most", True), (1.3, "at most", False), (1.3, "at least", True)],
)
def test_a_row_tells_whether_its_bar_is_met(bench, ratio, direction, met):
    row = bench("row").Row(name="x", ratio=ratio, bar=1.2, direction=direction)
    assert row.met is met
    assert ("MISSED" in row.line()) is not met
    assert "MISSED" not in row.line(judged=False)


def test_pairs_take_turns_and_the_median_of_their_ratios(bench):
    seconds = itertools.cycle([3.0, 1.0, 9.0])
    order: list[str] = []

    def first() -> float:
        order.append("first")
        return next(seconds)

    def second() -> float:
        order.append("second")
        return 1.0

    paired = bench("timing").alternate(first, second, pairs=3)
    assert (paired.ratio, paired.first, paired.second) == (3.0, 3.0, 1.0)
    assert order == ["first", "second", "second", "first", "first", "second"]


def test_forward_operations_are_those_that_torch_counts(bench, backbone):
    rows = bench("words").made_up(backbone, rows=3, instruction=0, text=(20, 20))
    batch = collate(rows, backbone, share=1.0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        target_logits(backbone, batch)
    tokens, targets = batch.inputs["input_ids"].numel(), batch.labels.numel()
    expected = bench("flops").count(backbone).forward(tokens, targets)
    # Linear layers are `mm`; attention's own products are `bmm`.
    assert counter.get_flop_counts()["Global"][torch.ops.aten.mm] == expected


def test_lora_operations_are_those_that_torch_counts(bench, backbone):
    peft_side, flops = bench("peft_side"), bench("flops")
    products, rank, loras = flops.count(backbone), peft_side.RANK, 3
    batch = collate(
        bench("words").made_up(backbone, rows=3, instruction=0, text=(20, 20)), backbone, share=1.0
    )
    peft_side.peft_loras(backbone, loras)
    # Gradients pass through every layer, as they do through all but the first of a deep model.
    backbone.model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, out: out.requires_grad_(True)
    )
    with FlopCounterMode(display=False) as counter:
        task_loss(backbone, batch).backward()
    tokens, targets = batch.inputs["input_ids"].numel(), batch.labels.numel()
    expected = products.training(tokens, targets, rows=loras * rank, trained=rank)
    assert counter.get_flop_counts()["Global"][torch.ops.aten.mm] == expected


def test_several_loras_of_peft_compute_what_a_sum_of_ours_does(bench, llama_folder):
    peers, settings = bench("peers"), ModelSettings(name=str(llama_folder), precision="float32")
    subject = bench("subjects").Subject("tiny", settings)
    method, ours = peers.ours(subject, "inc_lora", 3)
    theirs = peers.active_loras(subject, 3, method)
    torch.testing.assert_close(ours.logits(), theirs.logits(), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        next(iter(method.mixture.layers.values())).bank.b.zero_()
    with pytest.raises(AssertionError, match="not the same computation"):
        peers.same(ours, theirs)


def test_made_up_words_are_one_token_each_in_the_random_model(bench, tmp_path):
    subjects, words = bench("subjects"), bench("words")
    subjects.save_random_llama(tmp_path, "smoke")
    tokenizer = load_backbone(ModelSettings(name=str(tmp_path))).tokenizer
    assert len(tokenizer(words.WORDS)["input_ids"]) <= len(words.WORDS.split()) + 2
    assert len(tokenizer) <= subjects.VOCABULARY


def test_a_clock_counts_work_within_work_once(bench):
    clock = bench("overhead").Clock()
    inner = clock.timing("inner", lambda: time.sleep(0.02))
    clock.timing("outer", inner)()
    assert set(clock.seconds) == {"outer"}
    inner()
    assert clock.seconds["inner"] >= 0.02


def test_a_watched_run_tells_all_four_kinds_of_work_apart(bench, tmp_path):
    overhead, subjects = bench("overhead"), bench("subjects")
    loop = train.backward
    with subjects.subjects("smoke") as (subject,):
        settings = overhead.made_up_run(subject, tmp_path / "data", "smoke")
        clock = overhead.watched(settings, tmp_path / "runs")
    assert set(clock.seconds) == {"forward", "backward", "optimiser", "evaluation"}
    assert 0 < sum(clock.seconds.values()) < clock.ended - clock.loaded
    assert train.backward is loop


def test_a_drawing_has_every_series_and_no_date(bench, results, monkeypatch):
    plot = bench("plot")
    outs = [results.with_name("one.svg"), results.with_name("two.svg")]
    for out in outs:
        monkeypatch.setattr("sys.argv", ["plot.py", str(results), str(out)])
        plot.main()
    text = outs[0].read_text()
    assert text == outs[1].read_text()
    assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", text)
    words = {element.text for element in ElementTree.fromstring(text).iter()}
    drawn = {plot.STYLES[name][0] for name in ("layer", "textbook form", plot.COUNTED)}
    assert drawn <= words
    assert plot.STYLES["one LoRA of as many rows"][0] not in words


def test_a_table_leaves_out_columns_that_are_empty(bench, results):
    rows = json.loads(results.read_text())["benchmarks"]["cost"]["rows"]
    head, _, first, *_ = bench("table").table(rows).splitlines()
    assert head == "|  | ratio | floor | measured |"
    assert first == "| layer / frozen linear, time, fp32, N=1 | 1.20 | 1.10 | D=576 |"
