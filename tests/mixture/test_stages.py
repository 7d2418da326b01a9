"""The statistic of stages: known answers, sums against whole data, and its stated error rate."""

import math
import time

import pytest
import torch

from amlora.mixture.arrow import Arrow
from amlora.mixture.gates import GateSettings
from amlora.mixture.limit import LEAST_PROMPTS, left_out_distances, limit_of
from amlora.mixture.shrink import shrunk
from amlora.mixture.stages import NEGLIGIBLE, Stages, StageSettings
from refused import refusal


def settings(**given) -> StageSettings:
    plain = {"mixing": "hard", "temperature": 1.0, "reject": 0.0, "shrinkage": None}
    return StageSettings(**{**plain, "covariance": "full", **given})


def normal(count, mean, seed, width=6):
    """Correlated normal vectors about a mean."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(width) + torch.ones(width, width) / 4
    mean = torch.tensor(mean).expand(width)
    return torch.randn(count, width, generator=generator) @ mixing + mean


def learned(*tasks, **given) -> Stages:
    stages = Stages(settings(**given))
    for vectors in tasks:
        stages.add(vectors)
    return stages


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_planted_clusters_are_told_apart(covariance):
    tasks = [normal(60, 6.0 * k, k) for k in range(4)]
    stages = learned(*tasks, covariance=covariance)
    for k in range(4):
        routes = [stages.route(vector) for vector in normal(50, 6.0 * k, 100 + k)]
        assert sum(route[1 + k] == 1 for route in routes if route) >= 49


def test_the_posterior_is_the_one_by_hand():
    # Means (0, 0) and (4, 0). Scatter diag(4, 4) + diag(16, 4) over 4 + 4 prompts: covariance
    # diag(2.5, 1); the sphere 1.75; half of each: diag(2.125, 1.375).
    one = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]]) + torch.tensor(
        [[0, 1.0], [0, 1], [0, -1], [0, -1]]
    )
    other = one * torch.tensor([2.0, 1.0]) + torch.tensor([4.0, 0.0])
    stages = learned(one, other, mixing="soft", temperature=2.0, shrinkage=0.5)
    expected = torch.diag(torch.tensor([2.125, 1.375], dtype=torch.float64))
    torch.testing.assert_close(stages.covariance(), expected)
    x = torch.tensor([1.5, 1.0])
    nearer = (2.5**2 - 1.5**2) / 2.125 / 2  # half the difference of squared distances
    chance = 1 / (1 + math.exp(-nearer / 2.0))
    found = stages.posterior(x)
    assert found[0].item() == pytest.approx(chance)
    assert found.sum().item() == pytest.approx(1)
    assert stages.route(x) == pytest.approx((0.0, chance, 1 - chance))


def literal_share(centred, diagonal):
    """Ledoit & Wolf's estimate, from the products of each vector in turn."""
    products = [torch.outer(x, x) for x in centred]
    if diagonal:
        products = [torch.diag(product.diagonal()) for product in products]
    estimate = torch.stack(products).mean(0)
    sphere = torch.eye(len(estimate), dtype=torch.float64) * estimate.trace() / len(estimate)
    spread = sum(((p - estimate) ** 2).sum() for p in products) / len(products) ** 2
    return min(1.0, float(spread / ((estimate - sphere) ** 2).sum())), estimate, sphere


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_sums_over_stages_give_the_covariance_of_all_prompts_at_once(covariance):
    sizes = torch.linspace(0.5, 3, 6)
    tasks = [(sizes * normal(20 + k, 2.0 * k, k)).double() for k in range(3)]
    centred = torch.cat([task - task.mean(0) for task in tasks])
    share, estimate, sphere = literal_share(centred, covariance == "diagonal")
    expected = (1 - share) * estimate + share * sphere
    found = learned(*tasks, covariance=covariance).covariance()
    assert 0 < share < 1
    torch.testing.assert_close(
        torch.diag(found) if found.ndim == 1 else found, expected, rtol=1e-5, atol=1e-6
    )


def test_few_prompts_and_prompts_that_are_all_the_same_are_told_apart():
    few = learned(*(normal(3, 5.0 * k, k, width=40) for k in range(2)))
    assert few.route(normal(1, 5.0, 9, width=40)[0]) == (0.0, 0.0, 1.0)
    same = learned(torch.ones(4, 3), torch.zeros(1, 3))
    assert same.route(torch.full((3,), 0.9)) == (0.0, 1.0, 0.0)
    assert learned().route(torch.ones(3)) is None  # no stage has ended


def test_a_left_out_prompts_distance_is_that_to_the_others():
    x = normal(9, 0.0, 1).double()
    rest = x - x.mean(0)
    found = left_out_distances(rest, rest.square().sum(0), 0.25)
    for i in range(9):
        others = torch.cat([x[:i], x[i + 1 :]])
        variance = others.var(0, unbiased=False)
        variance = 0.75 * variance + 0.25 * variance.mean()
        expected = ((x[i] - others.mean(0)) ** 2 / variance).sum()
        assert found[i].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("reject", [0.02, 0.1])
@pytest.mark.parametrize("earlier", [False, True])
def test_new_prompts_are_taken_for_foreign_at_the_stated_rate(reject, earlier):
    tasks = [normal(600, 0.0, 1), normal(300, 8.0, 2) * 3]
    stages = learned(*(tasks if earlier else tasks[:1]), reject=reject)
    count = 1500
    foreign = [
        stages.route(vector) == (1.0, *[0.0] * len(stages)) for vector in normal(count, 0.0, 7)
    ]
    rate = sum(foreign) / count
    # The limit is itself one of 600 draws: both draws' errors, four standard deviations.
    error = math.sqrt(reject * (1 - reject) * (1 / count + 1 / 600))
    assert abs(rate - reject) < 4 * error


def test_a_prompt_unlike_all_is_stage_0s_and_with_reject_0_it_is_not():
    tasks = [normal(300, 0.0, 1), normal(300, 3.0, 2)]
    far = torch.full((6,), 40.0)
    assert learned(*tasks, reject=0.01).route(far) == (1.0, 0.0, 0.0)
    assert learned(*tasks).route(far) == (0.0, 0.0, 1.0)


def test_too_few_prompts_give_no_limit_to_their_stage_alone():
    few, many = normal(LEAST_PROMPTS - 1, 0.0, 1), normal(300, 3.0, 2)
    stages = learned(few, many, reject=0.01)
    assert stages.limits.isinf().tolist() == [True, False]
    assert stages.route(torch.full((6,), -40.0)) == (0.0, 1.0, 0.0)
    assert stages.route(torch.full((6,), 40.0)) == (1.0, 0.0, 0.0)


def test_a_stage_with_a_wide_limit_does_not_take_the_likeliest_ones_prompts():
    wide, narrow = normal(300, 0.0, 1) * 30, normal(300, 5.0, 2)
    stages = learned(wide, narrow, reject=0.01)
    odd = torch.full((6,), 5.0) + 9 * torch.tensor([1.0, -1, 1, -1, 1, -1])
    rest = odd.double() - stages.means.double()
    distances = (rest.square() / stages.variances.double()).sum(1)
    assert distances[0] < stages.limits[0] and distances[1] > stages.limits[1]
    assert int(stages.scores(odd).argmax()) == 1
    assert stages.route(odd) == (1.0, 0.0, 0.0)


def test_the_limit_is_the_quantile_by_hand():
    # Logarithms 0 to 10: the median 5, the ninth decile 9.
    distances = torch.arange(11, dtype=torch.float64).exp()
    assert limit_of(distances, 0.1) == pytest.approx(math.exp(9))
    times = 2.3263478740408408 / 1.2815515655446004  # what one in a hundred and one in ten exceed
    assert limit_of(distances, 0.01) == pytest.approx(math.exp(5 + 4 * times))
    assert limit_of(torch.full((8,), 2.5), 0.01) == pytest.approx(2.5)
    assert limit_of(distances[: LEAST_PROMPTS - 1], 0.1) == limit_of(distances, 0.0) == math.inf


@pytest.mark.parametrize("width", [6, 200])
@pytest.mark.parametrize(("odd", "times"), [(1, 12.0), (4, 0.3), (8, 0.5)])
def test_a_few_odd_prompts_change_little(width, odd, times):
    generator = torch.Generator().manual_seed(0)
    prompts, new, others = torch.randn(3, 160, width, generator=generator).unbind()
    stages = learned(torch.cat([prompts[:odd] * times, prompts[odd:]]), reject=0.01)
    assert sum(stages.distance(vector, 0) > 1 for vector in new) <= 8  # at the stated rate, 1.6
    assert sum(stages.distance(vector, 0) > 1 for vector in others * 6) >= 150


@pytest.mark.parametrize(("others", "rejected"), [(14, True), (40, False)])
def test_a_limit_holds_up_to_a_tenth_of_another_tasks_rows(others, rejected):
    """And no further, as the page of anchored_lora says."""
    own, odd = normal(160 - others, 0.0, 1), normal(others, 15.0, 2)
    stages = learned(torch.cat([own, odd]), reject=0.001)
    foreign = normal(50, -40.0, 3)
    assert all((stages.distance(vector, 0) > 1) is rejected for vector in foreign)


def test_soft_shares_leave_out_what_is_negligible_and_add_up():
    tasks = [normal(50, float(k), k) for k in range(3)]
    stages = learned(*tasks, mixing="soft")
    for vector in normal(60, 0.7, 8):
        posterior, route = stages.posterior(vector), stages.route(vector)
        assert route is not None and sum(route) == pytest.approx(1)
        kept = [share >= NEGLIGIBLE for share in posterior.tolist()]
        assert [weight > 0 for weight in route[1:]] == kept


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_what_is_restored_answers_the_same_and_goes_on_the_same(covariance):
    tasks = [normal(40, 1.0 * k, k) for k in range(3)]
    whole = learned(*tasks, mixing="soft", covariance=covariance)
    again = Stages(whole.settings)
    again.restore(learned(*tasks[:2], covariance=covariance).tensors())
    again.add(tasks[2])
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name
    x = normal(1, 0.5, 9)[0]
    assert again.route(x) == whole.route(x)
    assert sum(t.numel() for t in again.tensors().values()) == again.size(3, 6)


def same(one: Stages, other: Stages, *names: str) -> None:
    for name in names or one.tensors():
        key = name if name.startswith("stages.") else f"stages.{name}"
        torch.testing.assert_close(one.tensors()[key], other.tensors()[key])


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_beliefs_are_those_of_the_prompts_one_by_one_to_the_last_bit(covariance):
    stages = learned(
        *(normal(40, float(k), k) for k in range(5)), covariance=covariance, reject=0.1
    )
    vectors = normal(33, 1.0, 9)
    expected = [stages.belief(vector) for vector in vectors]
    assert stages.beliefs(vectors) == expected
    assert stages.beliefs(vectors[4:7]) == expected[4:7]
    assert stages.beliefs(vectors[:0]) == []
    assert len({belief.distance for belief in expected if belief}) == 33


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_dropped_stage_leaves_the_covariance_and_the_others_as_they_were(covariance):
    tasks = [normal(20 + 10 * k, 4.0 * k, k) for k in range(4)]
    stages = learned(*tasks, covariance=covariance, reject=0.1, shrinkage=0.1)
    before = stages.covariance()
    stages.drop(1)
    torch.testing.assert_close(stages.covariance(), before)
    others = learned(tasks[0], *tasks[2:], covariance=covariance, reject=0.1, shrinkage=0.1)
    same(stages, others, "counts", "means", "variances", "limits")
    assert all(stages.route(vector) != (0, 0, 0, 0) for vector in normal(5, 4.0, 9))


def test_a_replaced_stage_keeps_its_place_and_takes_the_new_prompts():
    tasks = [normal(40, 8.0 * k, k) for k in range(3)]
    stages, moved = learned(*tasks), normal(60, -9.0, 7)
    stages.replace(1, moved)
    same(stages, learned(tasks[0], moved, tasks[2]), "counts", "means", "variances", "limits")
    assert stages.route(normal(1, -9.0, 8)[0]) == (0, 0, 1, 0)
    # Of the old prompts' scatter as much is left as their number was of all.
    gone, rest = torch.cat([t - t.mean(0) for t in tasks]), moved - moved.mean(0)
    expected = gone.T @ gone * (80 / 120) + rest.T @ rest
    torch.testing.assert_close(stages.own.scatter, expected, rtol=1e-4, atol=1e-3)


def test_the_only_stage_is_replaced_by_one_made_anew_and_the_last_dropped_leaves_nothing():
    stages = learned(normal(40, 3.0, 1, width=4))
    stages.replace(0, normal(50, 1.0, 2))
    same(stages, learned(normal(50, 1.0, 2)))
    stages.drop(0)
    assert len(stages) == 0 and stages.belief(torch.zeros(6)) is None
    again = Stages(stages.settings)
    again.restore(stages.tensors())
    stages.add(normal(50, 2.0, 3))
    same(stages, learned(normal(50, 2.0, 3)))


def test_a_hundred_stages_are_asked_in_a_millisecond_a_prompt():
    tasks = torch.randn(100, 32, 576, generator=torch.Generator().manual_seed(0))
    stages = learned(*tasks)
    stages.belief(tasks[0, 0])  # the covariance is decomposed once
    begun = time.perf_counter()
    stages.beliefs(tasks[0])
    assert time.perf_counter() - begun < 32 / 1000


def test_a_restored_statistic_must_fit():
    tensors = learned(normal(9, 0.0, 1), normal(9, 1.0, 2)).tensors()
    stages, diagonal = Stages(settings()), Stages(settings(covariance="diagonal"))
    said = refusal(stages.restore, {**tensors, "stages.limits": torch.zeros(1)})
    assert said == "stages.limits: shape (1,), expected (2,)."
    assert refusal(diagonal.restore, tensors).startswith("stages.scatter: shape")
    for name in ("means", "fourth"):
        less = {k: v for k, v in tensors.items() if k != f"stages.{name}"}
        assert refusal(stages.restore, less).startswith(f"stages.{name}: missing")
    assert len(stages) == 0


def test_a_share_that_is_given_is_used():
    scatter = torch.diag(torch.tensor([6.0, 2.0], dtype=torch.float64))
    found, share = shrunk(scatter, torch.tensor(0.0), 2, 0.25)
    assert share == 0.25
    torch.testing.assert_close(found.diagonal().tolist(), [2.75, 1.25])


@pytest.mark.parametrize(
    ("make", "wrong", "text"),
    [
        (settings, {"temperature": 0.0, "mixing": "soft"}, "above 0"),
        (settings, {"reject": 0.5}, "below 0.5"),
        (settings, {"shrinkage": 1.5}, "at most 1"),
        (GateSettings, {"width": 0}, "width must be at least 1"),
        (Arrow, {"top_k": 0}, "top_k must be at least 1"),
        (Arrow, {"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_wrong_settings_of_what_chooses_loras_are_refused(make, wrong, text):
    assert text in refusal(make, **wrong)
