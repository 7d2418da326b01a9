"""Sampling depends on its seed alone, also behind soft prompts, and punishes repetition."""

import pytest
import torch

from amlora.engine.generate import generate_ids, inference
from amlora.methods.parts.pseudo import sample

PROMPTS = [(5, 40, 60), (5, 41), (5, 42, 61, 62)]


@pytest.fixture
def prompted(soft):
    """A model with three soft vectors, and prompts that end with them."""
    backbone, _, _, ids = soft
    return backbone, [(*prompt, *ids) for prompt in PROMPTS]


def texts(prompted, *, top_k: int = 50, penalty: float = 1.2, seed: int = 0) -> list[list[int]]:
    backbone, prompts = prompted
    return sample(backbone, prompts, top_k=top_k, penalty=penalty, max_new_tokens=12, seed=seed)


def test_a_penalty_leaves_fewer_repetitions(prompted):
    def repeats(penalty: float) -> int:
        return sum(len(ids) - len(set(ids)) for ids in texts(prompted, penalty=penalty, top_k=8))

    assert repeats(5.0) < repeats(1.0)


def test_the_same_seed_gives_the_same_texts_and_another_seed_others(prompted):
    first = texts(prompted)
    assert texts(prompted) == first
    assert texts(prompted, seed=1) != first
    vocabulary = prompted[0].model.config.vocab_size
    assert all(0 <= token < vocabulary for ids in first for token in ids)
    assert all(0 < len(ids) <= 12 for ids in first)


def test_the_likeliest_token_alone_is_greedy_generation(prompted):
    backbone, prompts = prompted
    with inference(backbone):
        expected = generate_ids(backbone, prompts, 12)
    assert texts(prompted, top_k=1, penalty=1.0) == expected


def test_mode_and_generation_config_are_put_back(prompted):
    model = prompted[0].model
    config = model.generation_config
    model.train()
    texts(prompted)
    assert model.training and model.generation_config is config and torch.is_grad_enabled()
