"""Stages that are told in any words: by prompts as they were asked, and by texts alone."""

import math

import pytest
import torch

from amlora.mixture.normals import TAIL, Normals
from amlora.mixture.stages import Stages, StageSettings
from refused import refusal


def made(*stages, **given) -> Stages:
    plain = {"mixing": "hard", "temperature": 1.0, "reject": 0.0, "shrinkage": 0.1}
    found = Stages(StageSettings(**{**plain, "covariance": "full", "words": "any", **given}))
    for vectors in stages:
        found.add(vectors)
    return found


def normal(count, mean, seed, width=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator) + torch.tensor(mean)


def stage(place, words, seed):
    """Prompts about a place that is moved by words, and their texts, about it without them."""
    text = normal(40, [float(place), 0, 0, 0, 0], seed)
    moved = torch.tensor([0, float(words), 0, 0, 0])
    return torch.stack([text + moved, text], 1)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_density_is_students_by_hand(covariance):
    x = normal(12, [0.0] * 5, 1).double()
    normals = Normals(covariance, 0.5)
    normals.insert(0, x)
    normals.insert(1, x[:4] + 3)
    found = normals.predictions(x[0] + 1)
    spread = normals.covariance()
    spread = spread if spread.ndim == 2 else torch.diag(spread)
    for k, (mean, count) in enumerate(((x.mean(0), 12), (x[:4].mean(0) + 3, 4))):
        wide = spread * (1 + 1 / count)
        rest = x[0] + 1 - mean
        squared = float(rest @ torch.linalg.solve(wide, rest))
        expected = -(TAIL + 5) / 2 * math.log1p(squared / TAIL) - float(wide.logdet()) / 2
        assert found[k].item() == pytest.approx(expected, abs=1e-5)


def test_a_mean_of_few_vectors_is_trusted_less():
    """Far from both, and as far from either, a prompt is rather that of the uncertain mean."""
    normals = Normals("full", 0.1)
    for place, count in ((-6.0, 200), (6.0, 2)):
        x = normal(count, [0.0] * 5, count).double()
        normals.insert(len(normals), x - x.mean(0) + torch.tensor([place, 0, 0, 0, 0]).double())
    few = normals.predictions(torch.tensor([0.0, 20, 0, 0, 0]).double())
    assert few[1] > few[0]


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_other_words_do_not_lead_astray_where_stages_know_their_texts_alone(covariance):
    one, two = stage(0, 8, 1), stage(6, -8, 2)
    foreign = normal(30, [0.0, -8, 0, 0, 0], 3)  # the first's texts in the second's words
    asked = made(one[:, 0], two[:, 0], words="asked", covariance=covariance)
    either = made(one, two, covariance=covariance)
    assert sum(asked.route(x) == (0, 1, 0) for x in foreign) <= 5
    assert sum(either.route(x) == (0, 1, 0) for x in foreign) >= 25
    assert all(either.route(x) == (0, 1, 0) for x in one[:, 0])  # in its own words still


def test_stages_with_equal_texts_are_still_told_by_their_words():
    one, two = stage(0, 4, 1), stage(0, -4, 2)
    stages = made(one, two)
    for vectors, right in ((one, (0, 1, 0)), (two, (0, 0, 1))):
        assert all(stages.route(x) == right for x in vectors[:, 0])


def test_prompts_whose_texts_are_not_known_count_for_both():
    x = stage(0, 4, 1)[:, 0]
    one, other = made(x), made(torch.stack([x, x], 1))
    torch.testing.assert_close(one.means, other.means)
    assert one.wide is not None and other.wide is not None
    torch.testing.assert_close(one.wide.means, other.wide.means)


def test_beliefs_in_any_words_are_those_one_by_one_to_the_last_bit():
    stages = made(stage(0, 4, 1), stage(2, -4, 2), stage(3, 1, 3), reject=0.1)
    x = normal(20, [1.0, 0, 0, 0, 0], 9)
    assert stages.beliefs(x) == [stages.belief(vector) for vector in x]


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_stages_in_any_words_are_dropped_replaced_and_restored(covariance):
    tasks = [stage(4 * k, 3 * k, k) for k in range(3)]
    stages = made(*tasks[:2], covariance=covariance, reject=0.05)
    again = made(covariance=covariance, reject=0.05)
    again.restore(stages.tensors())
    for each in (stages, again):
        each.add(tasks[2])
        each.replace(0, tasks[1] + 20)
        each.drop(1)
    assert len(stages) == 2 and stages.wide is not None and len(stages.wide) == 2
    for name, tensor in stages.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name
    assert stages.route(tasks[1][0, 0] + 20) == (0, 1, 0)
    assert sum(t.numel() for t in stages.tensors().values()) == stages.size(2, 5)


def test_a_statistic_in_any_words_must_have_both_parts_and_they_must_fit():
    tensors = made(stage(0, 1, 1), stage(3, 1, 2)).tensors()
    new = made()
    less = {name: t for name, t in tensors.items() if name != "stages.any.means"}
    assert refusal(new.restore, less).startswith("stages.any.means: missing")
    short = {**tensors, "stages.any.counts": torch.ones(1, dtype=torch.int64)}
    assert refusal(new.restore, short).startswith("stages.any.means: shape (2, 5)")
    odd = {**tensors, "stages.any.scatter": -tensors["stages.any.scatter"]}
    assert "stages.any.scatter: must be" in refusal(new.restore, odd)


def test_a_temperature_flattens_the_posterior_and_moves_no_route():
    tasks = [stage(0, 1, 1), stage(1, 1, 2)]
    sharp, flat = made(*tasks), made(*tasks, temperature=3.0)
    for x in normal(20, [0.5, 0, 0, 0, 0], 9):
        assert sharp.route(x) == flat.route(x)
        assert max(sharp.posterior(x)) > max(flat.posterior(x))
