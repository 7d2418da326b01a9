"""Gates by hand, LoRAs behind given gates against the specification, and routes that are gates."""

import math

import pytest
import torch

from amlora.errors import InputError
from amlora.mixture.gates import Gate, Gates, GateSettings, opened, started
from amlora.mixture.layer import Control
from amlora.mixture.route import Gating, Routing, by_name, only_stage
from amlora.mixture.scores import Recorder
from mixture.cases import random_layer

CPU = torch.device("cpu")
GATES = torch.tensor([[0.0, 0.5, 1.0], [0.25, 0.0, 0.75], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
RANKS = [[2, 2, 2], [1, 4, 2]]


def silu(value: float) -> float:
    return value / (1 + math.exp(-value))


def literal(g1, g2, g3, p0, score) -> float:
    """The paper's equations 3 and 8, number by number."""
    p1 = [silu(sum(w * v for w, v in zip(row, p0, strict=True))) for row in g1]
    p2 = [silu(sum(w * v for w, v in zip(row, p1, strict=True))) for row in g2]
    b = sum(w * v for w, v in zip(g3, p2, strict=True))
    if score == "cosine":
        b *= 4 / math.sqrt(sum(v * v for v in p2) * sum(w * w for w in g3))
    return abs(2 / (1 + math.exp(-b)) - 1)


def some_gates(count: int = 3, score: str = "linear") -> Gates:
    """Gates of random weights for vectors of 5 numbers."""
    gates = Gates(GateSettings(width=3, score=score))  # pyright: ignore[reportArgumentType]
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        sizes = (3, 5), (5, 3), (5,)
        gates.add(*(torch.randn(size, generator=generator) for size in sizes))
    return gates


@pytest.mark.parametrize("score", ["linear", "cosine"])
def test_gates_are_those_of_the_equations(score):
    gates = some_gates(score=score)
    vectors = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    found = gates.values(vectors)
    for row, vector in enumerate(vectors.tolist()):
        for place, gate in enumerate(gates.all):
            g1, g2, g3 = (part.tolist() for part in gate.parts())
            wanted = literal(g1, g2, g3, vector, score)
            assert found[row, place].item() == pytest.approx(wanted, abs=1e-5)
        route = gates.route(vectors[row])
        assert route is not None
        assert route.gates == pytest.approx(found[row].tolist(), abs=1e-6)
    assert Gates(GateSettings()).route(vectors[0]) is None


def test_the_opening_is_the_papers_and_even_and_a_last_layer_of_zeros_is_shut():
    b = torch.linspace(-9, 9, 37, dtype=torch.float64)
    torch.testing.assert_close(opened(b), (2 * b.sigmoid() - 1).abs())
    assert torch.equal(opened(b), opened(-b))
    assert opened(torch.zeros(1)).item() == 0
    for score in ("linear", "cosine"):
        gate = Gate(torch.ones(3, 5), torch.ones(5, 3), torch.zeros(5), score)
        assert gate(torch.randn(4, 5)).tolist() == [0.0] * 4


def test_the_first_weights_depend_on_the_seed_alone():
    one, again, other = (started(6, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert one[0].abs().max() <= 6**-0.5 and one[1].abs().max() <= 4**-0.5


def test_stored_gates_give_the_same_values_and_have_the_stated_size():
    gates, twin = some_gates(), Gates(GateSettings(width=3))
    twin.restore({**gates.tensors(), "other": torch.zeros(1)}, 3)
    vectors = torch.randn(4, 5)
    assert torch.equal(twin.values(vectors), gates.values(vectors))
    assert sum(tensor.numel() for tensor in gates.tensors().values()) == 3 * gates.size(5)
    gates.all[0].g1.zero_()
    assert not torch.equal(twin.values(vectors), gates.values(vectors))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"gates.1.g3": None}, r"gates\.1\.g3: missing from what was stored"),
        ({"gates.1.g1": torch.zeros(2, 5)}, r"gates\.1\.g1: shape \(2, 5\), expected \(3, 5\)"),
        ({"gates.2.g3": torch.zeros(6)}, r"gates\.2\.g3: shape \(6,\), expected \(5,\)"),
    ],
)
def test_damaged_gates_are_refused(change, text):
    tensors = {**some_gates().tensors(), **change}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(InputError, match=text):
        Gates(GateSettings(width=3)).restore(tensors, 3)


def gated_layer(ranks):
    """A layer in float64 whose newest LoRA is trained."""
    layer = random_layer(ranks, trained="none", control=Control(combine="sum"), dtype=torch.float64)
    with torch.no_grad():
        layer.bank.b.copy_(torch.randn(layer.bank.b.shape, dtype=torch.float64))
    return layer


def expected(layer, x, gates):
    """Every row's LoRAs one at a time, at the row's gates."""
    bank, out = layer.bank, []
    a, b = bank.a.clone(), bank.b.clone()
    a_tail, b_tail = bank.tails()[:2]
    first = len(a) - len(a_tail)
    for row, opened_by in zip(x, gates, strict=True):
        added = layer.base(row)
        for index, gate in enumerate(opened_by):
            rows = bank.rows(index)
            newest = rows.start >= first
            down, up = (a_tail, b_tail) if newest else (a[rows], b[rows])
            added = added + gate * bank.alphas[index] / bank.ranks[index] * (row @ down.T) @ up
        out.append(added)
    return torch.stack(out)


@pytest.mark.parametrize("ranks", RANKS, ids=str)
def test_rows_are_answered_by_loras_at_their_gates_with_all_gradients(ranks):
    layer = gated_layer(ranks)
    x = torch.randn(4, 3, layer.bank.a.shape[1], dtype=torch.float64, requires_grad=True)
    gates = GATES.double().requires_grad_()
    wanted = expected(layer, x, gates)
    layer.control.routing.now = gates
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(found)
    inputs = [x, gates, layer.bank.a_tail, layer.bank.b_tail]
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((wanted * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_gates_of_zero_leave_the_frozen_layers_answer_bit_for_bit():
    layer = gated_layer([2, 2, 2])
    x = torch.randn(4, 3, layer.bank.a.shape[1], dtype=torch.float64)
    with layer.control.routing.of([Gating((0.0, 0.0, 0.0))] * 4, CPU):
        assert torch.equal(layer(x), layer.base(x))
    assert not torch.equal(layer(x), layer.base(x))


def test_several_rows_that_were_made_of_one_share_its_gates():
    layer = gated_layer([2, 2, 2])
    x = torch.randn(4, 3, layer.bank.a.shape[1], dtype=torch.float64)
    with layer.control.routing.of([Gating(tuple(row)) for row in GATES.tolist()], CPU):
        one = layer(x)
        beams = layer(x.repeat_interleave(2, 0))
        torch.testing.assert_close(beams[::2], one)
        torch.testing.assert_close(beams[1::2], one)
        with pytest.raises(ValueError, match="4 rows have gates"):
            layer(x[:3, :1])


def test_recorded_scores_are_the_gates():
    layer = gated_layer([2, 2, 2])
    layer.control.recorder = Recorder(lambda *_: torch.ones(4, 3))
    with layer.control.routing.of([Gating(tuple(row)) for row in GATES.tolist()], CPU):
        layer(torch.randn(4, 3, layer.bank.a.shape[1], dtype=torch.float64))
    wanted = [(1 - GATES.amax(1)).mean().item(), *GATES.mean(0).tolist()]
    assert layer.control.recorder.tallies[layer.name].mean() == pytest.approx(wanted)


def test_gates_are_no_stages():
    gating = Gating((1.0, 0.5))
    assert only_stage(gating) is None and by_name(gating, ["one", "two"]) is None
    with (
        pytest.raises(ValueError, match="either stages or gates"),
        Routing().of([gating, (0.0, 1.0)], CPU),
    ):
        pass
