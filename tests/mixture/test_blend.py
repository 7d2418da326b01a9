"""Rows of different stages in one forward pass, against the specification row by row."""

import copy

import pytest
import torch

from amlora.mixture import reference
from amlora.mixture.layer import Control
from amlora.mixture.route import Routing, collect, only_stage
from amlora.mixture.scores import Recorder
from mixture.cases import random_layer

CPU = torch.device("cpu")
HARD = [(0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)]
SOFT = [(0.0, 0.25, 0.75, 0.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.2, 0.3, 0.5), (1.0, 0.0, 0.0, 0.0)]
RANKS = [[2, 2, 2], [1, 4, 2]]
GAPS = [(1,), (0, 2), (2, 0, 1)]


def staged_layer(ranks, *, combine, gain=False, newcomers=0, dtype=torch.float64, teams=()):
    """A layer that kept other selectors at each of three stages, and newer LoRAs behind them."""
    control = Control(combine=combine, gain=gain)
    layer = random_layer([], trained=None, control=control, dtype=dtype)
    generator = torch.Generator().manual_seed(3)

    def random(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    for index, rank in enumerate([*ranks, *[2] * newcomers]):
        layer.bank.extend(random(rank, 6), random(rank, 5), random(5), alpha=1.0 + index)
        layer.bank.w = random(index + 1, 5)
        if index < len(ranks) and combine == "attention" and not teams:
            layer.bank.keep()
    if teams:
        kept = random(sum(map(len, teams)) if combine == "attention" else 0, 5)
        bank = layer.bank
        bank.set(bank.ranks, bank.alphas, bank.stacks(), kept, teams)
    return layer


def expected(layer, x, routes):
    """What the specification answers."""
    bank, stages = layer.bank, range(1, len(routes[0]))
    teams = [bank.team(k) for k in stages]
    kept = [bank.kept_of(k) if len(bank.kept) else bank.w[: len(bank.team(k))] for k in stages]
    added = reference.blend(
        x,
        bank.a,
        bank.b,
        kept,
        bank.spread,
        torch.tensor(routes, dtype=torch.float64),
        teams=teams,
        combine=layer.control.combine,
        gain=layer.control.gain,
    )
    return layer.base(x) + added


def an_input(rows=4, tokens=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, tokens, 6, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("newcomers", [0, 1])
@pytest.mark.parametrize("teams", [(), GAPS], ids=["all before", "gaps"])
@pytest.mark.parametrize(("combine", "gain"), [("sum", 0), ("attention", 0), ("attention", 1)])
@pytest.mark.parametrize("routes", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("ranks", RANKS, ids=str)
def test_each_row_is_answered_by_its_own_stages(ranks, routes, combine, gain, teams, newcomers):
    layer = staged_layer(ranks, combine=combine, gain=bool(gain), newcomers=newcomers, teams=teams)
    x = an_input()
    with layer.control.routing.of(routes, CPU):
        ours, flat = layer(x), layer(x.flatten(0, 1))
        beams = layer(x.repeat_interleave(2, 0))  # rows that a beam search made of one
    torch.testing.assert_close(ours, expected(layer, x, routes), rtol=1e-10, atol=1e-10)
    assert torch.equal(flat.view_as(ours), ours)
    torch.testing.assert_close(beams, ours.repeat_interleave(2, 0))


@pytest.mark.parametrize("combine", ["sum", "attention"])
@pytest.mark.parametrize("ranks", RANKS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_stage_answers_bit_for_bit_as_when_it_ended(ranks, combine, dtype):
    layer = staged_layer(ranks, combine=combine, newcomers=1, dtype=dtype)
    x = an_input(dtype=dtype)
    for stage in (1, 2, 3):
        then = staged_layer(ranks[:stage], combine=combine, dtype=dtype)
        route = tuple(float(k == stage) for k in range(4))
        with layer.control.routing.of([route] * 4, CPU):
            now = layer(x)
        assert torch.equal(now, then(x))  # the plain mixture of all its LoRAs
    with layer.control.routing.of([HARD[2]] * 4, CPU):
        assert torch.equal(layer(x), layer.base(x))


@pytest.mark.parametrize("combine", ["sum", "attention"])
@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize("ranks", RANKS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_team_answers_bit_for_bit_as_its_loras_alone(ranks, combine, gain, dtype):
    layer = staged_layer(ranks, combine=combine, gain=gain, newcomers=2, dtype=dtype, teams=GAPS)
    bank, x = layer.bank, an_input(dtype=dtype)
    for stage, team in enumerate(GAPS, 1):
        own = random_layer([], trained=None, control=Control(combine, gain), dtype=dtype)
        w = bank.kept_of(stage) if combine == "attention" else torch.zeros(len(team), 5)
        for place, selector in zip(team, w, strict=True):
            rows = bank.rows(place)
            own.bank.extend(bank.a[rows], bank.b[rows], selector, bank.alphas[place])
        own.base = layer.base
        route = tuple(float(k == stage) for k in range(4))
        with layer.control.routing.of([route] * 4, CPU):
            assert torch.equal(layer(x), own(x))


@pytest.mark.parametrize("combine", ["sum", "attention"])
def test_new_teams_are_those_that_answer(combine):
    layer = staged_layer([2, 2, 2], combine=combine, teams=GAPS)
    x, bank = an_input(), layer.bank
    for teams in (GAPS, [(0,), (1, 2), (0, 1, 2)]):
        bank.set(bank.ranks, bank.alphas, bank.stacks(), teams=teams)
        for routes in (SOFT, [HARD[1]] * 4):
            with layer.control.routing.of(routes, CPU):
                torch.testing.assert_close(layer(x), expected(layer, x, routes))


@pytest.mark.parametrize("combine", ["sum", "attention"])
def test_without_routes_all_loras_answer_as_ever(combine):
    layer = staged_layer([2, 2, 2], combine=combine, newcomers=1)
    plain = random_layer([], trained=None, control=Control(combine=combine))
    plain.bank.set(layer.bank.ranks, layer.bank.alphas, layer.bank.stacks())
    plain.base = layer.base
    x = an_input()
    before = layer(x)
    with layer.control.routing.of([None] * 4, CPU):
        assert torch.equal(layer(x), before)
    assert torch.equal(before, plain(x))


def test_rows_that_do_not_fit_the_routes_are_refused():
    layer = staged_layer([2, 2, 2], combine="sum")
    routing = layer.control.routing
    with routing.of(SOFT[:2], CPU), pytest.raises(ValueError, match="but 2 rows have routes"):
        layer(an_input(rows=1))
    with pytest.raises(ValueError, match="all rows"), routing.of([None, SOFT[0]], CPU):
        pass
    assert routing.now is None


def test_a_route_ends_with_its_context_also_after_an_error():
    routing = Routing()
    with routing.of(HARD[:1], CPU):
        outer = routing.now
        with pytest.raises(RuntimeError), routing.of(SOFT, CPU):
            raise RuntimeError
        assert routing.now is outer
    assert routing.now is None


def test_routes_put_together():
    found = collect(SOFT, CPU)
    assert found.stage is None
    assert found.places.tolist()[2] == [3, 2, 1]
    assert found.shares.tolist()[2] == [0.5, 0.3, 0.2]
    assert collect([HARD[1]] * 2, CPU).stage == 3
    assert [only_stage(route) for route in SOFT] == [None, 3, None, 0]


def recorded(layer, x):
    """A function that returns the mean scores of all LoRAs under some routes."""

    def means(routes):
        recorder = Recorder(lambda *_: torch.ones(4, 3))
        layer.control.recorder = recorder
        with layer.control.routing.of(routes, CPU):
            layer(x)
        return recorder.tallies["layer"].mean()

    return means


@pytest.mark.parametrize("combine", ["sum", "attention"])
def test_the_recorder_sees_the_scores_of_a_teams_loras_at_their_places(combine):
    layer = staged_layer([2, 2, 2], combine=combine, teams=GAPS, newcomers=1)
    means = recorded(layer, an_input())
    alone = [means([route] * 4) for route in HARD]
    absent = [{0, 2, 3}, {3}, {0, 1, 2, 3}, {1, 3}]
    for found, none in zip(alone, absent, strict=True):
        assert {place for place, score in enumerate(found[1:]) if score == 0} == none
    mean = torch.tensor(alone).mean(0)
    if combine == "sum":
        torch.testing.assert_close(torch.tensor(means(HARD)), mean)
    else:
        assert sum(means(HARD)) == pytest.approx(1)


@pytest.mark.parametrize("combine", ["sum", "attention"])
def test_the_recorder_sees_the_scores_of_each_rows_stages(combine):
    means = recorded(staged_layer([2, 2, 2], combine=combine), an_input())
    alone = [means([route] * 4) for route in HARD]
    assert alone[2] == [1.0, 0.0, 0.0, 0.0]
    assert alone[0][2:] == [0.0, 0.0]
    if combine == "sum":
        assert alone[1] == [0.0, 1.0, 1.0, 1.0]
        torch.testing.assert_close(means(SOFT), [0.25, 0.75, (0.75 + 1 + 0.8) / 4, 1.5 / 4])
    else:
        assert all(abs(sum(found) - 1) < 1e-9 for found in [*alone, means(SOFT)])


def test_kept_selectors_survive_copies_and_moves_and_growth():
    layer = staged_layer([2, 3, 1], combine="attention")
    x = an_input()
    with layer.control.routing.of(SOFT, CPU):
        before = layer(x)
    twin = copy.deepcopy(layer)
    twin.bank.grow(2, 4.0, "uniform", torch.Generator().manual_seed(0))
    twin.bank.train_newest("all")
    twin = twin.float().double()
    with twin.control.routing.of(SOFT, CPU):
        torch.testing.assert_close(twin(x), before, rtol=1e-5, atol=1e-5)
