"""L2P: which prompts are chosen, what pulls the keys, and what an interruption must not change."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from amlora.engine.batch import micro_batches
from amlora.engine.encode import Row
from amlora.methods.base import Stage
from amlora.methods.l2p import L2P, L2PSettings, nearest_prompts
from methods.learning import STAGES, answers, learn, train
from trained import load_base

POOL, LENGTH, TOP = 4, 2, 2
PROMPTS = ((1, 100, 60), (1, 130, 61, 62), (1, 160))


def make(folder, **options) -> L2P:
    options = {"pool": POOL, "length": LENGTH, "top_k": TOP, **options}
    return L2P(load_base(folder), L2PSettings(**options), seed=0)


def texts() -> list[Row]:
    return [Row("t", str(i), ids, (90, 2), "x") for i, ids in enumerate(PROMPTS)]


def query_by_hand(method: L2P, ids: tuple[int, ...]) -> Tensor:
    """Return the mean of a text's input embeddings in float64, of length 1."""
    mean = method.embedding.base.weight[list(ids)].double().mean(0)
    return mean / mean.square().sum().sqrt()


def plant(method: L2P, keys: Tensor) -> None:
    with torch.no_grad():
        method.keys.copy_(keys)


def begun(folder, stage: Stage = STAGES[0], **options) -> L2P:
    method = make(folder, **options)
    method.begin(stage)
    return method


def selected(method: L2P, row: Row, *, scoring: bool = True) -> list[int]:
    """Return the prompts in front of a row, best first, and check the ids within."""
    [longer] = method.readable([row], scoring=scoring)
    ids = longer.prompt_ids[: -len(row.prompt_ids)]
    assert longer.prompt_ids[len(ids) :] == row.prompt_ids and longer.answer_ids == row.answer_ids
    prompts = [(id - method.embedding.first) // LENGTH for id in ids[::LENGTH]]
    assert list(ids) == method.embedding.ids(prompts, LENGTH)
    return prompts


def test_the_prompts_with_the_nearest_keys_are_put_in_front_the_nearest_first(any_folder):
    method = begun(any_folder)
    queries = [query_by_hand(method, ids) for ids in PROMPTS]
    # Key 2 is the first text's query and key 0 nearly so; key 1 is the second's, and so on.
    near = queries[0] + 0.1 * queries[1]
    plant(method, torch.stack([5 * near, queries[1], 3 * queries[0], -queries[0]]))
    assert selected(method, texts()[0]) == [2, 0]
    second = selected(method, texts()[1])
    cosines = F.normalize(method.keys.double(), dim=-1) @ queries[1]
    assert second == cosines.topk(TOP).indices.tolist() and second[0] == 1
    plant(method, -method.keys)
    assert selected(method, texts()[0])[0] == 3


def test_a_rows_choice_does_not_depend_on_other_rows(any_folder):
    for query in ("embedding", "hidden"):
        method = begun(any_folder, query=query)
        together = method.readable(texts(), scoring=True)
        alone = [method.readable([row], scoring=True)[0] for row in reversed(texts())]
        assert list(together) == alone[::-1]


def test_balance_ranks_by_distance_times_frequency():
    distances = [0.1, 0.2, 0.3, 0.9]
    assert nearest_prompts(distances, [1, 1, 1, 1], 2) == [0, 1]
    # 0.1 * 6 = 0.6, 0.2 * 2 = 0.4, 0.3 * 1 = 0.3, 0.9 * 1 = 0.9
    assert nearest_prompts(distances, [6, 2, 1, 1], 2) == [2, 1]
    # Prompts that were never chosen come first, the nearest of them at the front.
    assert nearest_prompts(distances, [6, 0, 1, 0], 3) == [1, 3, 2]
    assert nearest_prompts(distances, [0, 0, 0, 0], 4) == [0, 1, 2, 3]


def test_balance_changes_the_choice_while_training_and_not_while_answering(any_folder):
    method, plain = begun(any_folder, balance=True), begun(any_folder)
    row = texts()[0]
    query = query_by_hand(method, row.prompt_ids)
    other = torch.zeros_like(query)
    other[0], other[1] = query[1], -query[0]  # orthogonal to the query
    other = other / other.norm()

    def at(cosine: float) -> Tensor:
        return cosine * query + (1 - cosine**2) ** 0.5 * other

    # Distances 0.1, 0.2, 0.3, 0.9.
    keys = torch.stack([at(0.9), at(0.8), at(0.7), at(0.1)])
    for each in (method, plain):
        plant(each, keys)
        each.earlier = torch.tensor([6, 2, 1, 1])
        assert selected(each, row) == [0, 1]
    assert selected(method, row, scoring=False) == [2, 1]
    assert selected(plain, row, scoring=False) == [0, 1]


def test_choices_of_training_steps_are_counted_and_balance_uses_those_of_earlier_tasks(any_folder):
    method = begun(any_folder, balance=True)
    train(method, STAGES[0])
    counted = method.current.tolist()
    assert sum(counted) == STAGES[0].steps * 4 * TOP  # four rows a step
    assert method.earlier.tolist() == [0] * POOL
    answers(method, STAGES[0])
    assert method.current.tolist() == counted
    method.end(STAGES[0])
    assert method.earlier.tolist() == counted and not method.current.any()
    learn(method, STAGES[1])
    assert method.earlier.sum() == 2 * sum(counted)


def test_the_pull_is_that_of_a_literal_sum(any_folder):
    method = begun(any_folder, pull=0.25)
    read = method.readable(texts(), scoring=False)
    [batch] = micro_batches(read, method.backbone, size=8)
    expected = 0.0
    for row in texts():
        cosines = F.normalize(method.keys.detach().double(), dim=-1) @ query_by_hand(
            method, row.prompt_ids
        )
        expected += float((1 - cosines.topk(TOP).values).sum())
    terms = method.loss(batch)
    assert terms["pull"].item() == pytest.approx(0.25 * expected / 3, rel=1e-5)


def test_the_pull_of_micro_batches_and_processes_adds_up_to_the_steps(any_folder):
    method = begun(any_folder)

    def total(size: int, processes: int) -> float:
        read = method.readable(STAGES[0].rows[:7], scoring=False)
        return sum(
            method.loss(batch)["pull"].item()
            for process in range(processes)
            for batch in micro_batches(
                read, method.backbone, size=size, process=process, processes=processes
            )
        )

    whole = total(8, 1)
    assert whole > 0
    assert total(2, 1) == pytest.approx(whole, rel=1e-5)
    assert total(2, 3) == pytest.approx(whole, rel=1e-5)


def test_keys_move_by_the_pull_alone_and_prompts_by_the_task_alone(any_folder):
    method = begun(any_folder)
    read = method.readable(texts(), scoring=False)
    [batch] = micro_batches(read, method.backbone, size=8)
    assert method.prompts is not None
    terms = method.loss(batch)
    terms["task"].backward()
    assert method.keys.grad is None
    taken = {(id - method.embedding.first) // LENGTH for row in read for id in row.prompt_ids[:4]}
    assert method.prompts.grad is not None
    reached = method.prompts.grad.abs().sum((1, 2)) > 0
    assert reached.tolist() == [prompt in taken for prompt in range(POOL)]
    method.prompts.grad = None
    method.loss(batch)["pull"].backward()
    assert method.prompts.grad is None
    assert method.keys.grad is not None
    pulled = method.keys.grad.abs().sum(1) > 0
    assert pulled.tolist() == [prompt in taken for prompt in range(POOL)]
    assert all(weight.grad is None for weight in method.backbone.model.parameters())


def test_chosen_keys_come_nearer_and_prompts_that_are_never_chosen_stay(any_folder):
    method = begun(any_folder)
    mean = torch.stack([query_by_hand(method, row.prompt_ids) for row in STAGES[0].rows]).mean(0)
    near = mean + 11 * method.keys.detach()[:2]
    plant(method, torch.cat([near, torch.stack([-mean, -mean])]))
    assert method.prompts is not None
    keys, prompts = method.keys.detach().clone(), method.prompts.detach().clone()
    train(method, STAGES[0])
    before, after = (F.cosine_similarity(each, mean, dim=-1) for each in (keys, method.keys))
    assert (after > before).tolist() == [True, True, False, False]
    assert not torch.equal(method.prompts[:2], prompts[:2])
    assert torch.equal(method.keys[2:], keys[2:]) and torch.equal(method.prompts[2:], prompts[2:])


def test_keys_start_as_short_as_in_the_official_code(any_folder):
    """Uniform between 0 and 0.01, the default of the initialiser that it names."""
    keys = begun(any_folder, pool=10).keys.detach()
    assert 0 <= keys.min() < 2e-4 and 9.8e-3 < keys.max() < 0.01
    assert keys.mean() == pytest.approx(0.005, rel=0.1)


def test_without_a_pull_the_keys_stay_and_are_no_parameters(any_folder):
    method = begun(any_folder, pull=0.0)
    keys = method.keys.detach().clone()
    assert [group.name for group in method.parameters()] == ["prompts"]
    assert list(train(method, STAGES[0])) == ["task"]
    assert torch.equal(method.keys, keys)


def test_a_hidden_query_is_the_mean_of_the_frozen_models_last_states_without_prompts(any_folder):
    method = begun(any_folder, query="hidden")
    method.backbone.model.train()
    plain = load_base(any_folder)
    for row in texts():
        ids = torch.tensor([row.prompt_ids])
        with torch.no_grad():
            if plain.family == "encoder-decoder":
                states = plain.model.get_encoder()(input_ids=ids).last_hidden_state
            else:
                states = plain.model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        found = method.query(row.prompt_ids)
        torch.testing.assert_close(found, F.normalize(states[0].mean(0), dim=-1))
        assert method.query(row.prompt_ids) is found
    assert method.backbone.model.training
    other = begun(any_folder).query(PROMPTS[0])
    assert not torch.allclose(other, method.query(PROMPTS[0]), atol=1e-2)


def test_the_pool_is_made_once_of_tokens_and_counted(any_folder):
    method = begun(any_folder)
    assert method.prompts is not None
    width = method.prompts.shape[2]
    assert method.prompts.shape == (POOL, LENGTH, width)
    table = method.embedding.weight
    assert all((table == vector).all(1).any() for vector in method.prompts.flatten(0, 1))
    assert method.keys.shape == (POOL, width)
    assert method.stored_parameters() == POOL * LENGTH * width + POOL * width
    made = method.prompts
    method.begin(STAGES[1])
    assert method.prompts is made
