"""Rows from the cache are the rows that tokenising gives."""

import pytest

from amlora.engine import token_cache
from amlora.engine.encode import encode_rows
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.engine.token_cache import WORTH, TokenCache
from amlora.streams.task import Example, Task


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path))
    return tmp_path / "tokens"


def task_of(rows: int) -> Task:
    examples = tuple(
        Example(text=f"a good film, number {i}", label="Good", row=f"train:{i}")
        for i in range(rows)
    )
    return Task(
        name="films", instruction="Choose.", options=("Good",), train=examples, dev=(), test=()
    )


def backbone_of(folder, longest=24):
    return load_backbone(ModelSettings(name=str(folder), precision="float32", max_tokens=longest))


def both(backbone, task):
    """Return rows by the cache and by tokenising."""
    return (
        TokenCache(backbone, prefix="off", form="full").rows(task, task.train),
        encode_rows(backbone, task, task.train, prefix="off", form="full"),
    )


def test_cached_rows_equal_tokenised_ones(any_folder, cache):
    backbone, task = backbone_of(any_folder), task_of(WORTH)
    for _ in range(2):
        cached, made = both(backbone, task)
        assert cached == made
    assert len(list(cache.iterdir())) == 1


def test_the_second_time_nothing_is_tokenised(llama_folder, cache, monkeypatch):
    backbone, task = backbone_of(llama_folder), task_of(WORTH)
    first, _ = both(backbone, task)
    monkeypatch.setattr(token_cache, "encode_rows", None)
    assert TokenCache(backbone, prefix="off", form="full").rows(task, task.train) == first


def test_rows_are_tokenised_where_there_can_be_no_cache(llama_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path / "file" / "cache"))
    cached, made = both(backbone_of(llama_folder), task_of(WORTH))
    assert cached == made


def test_a_damaged_file_is_made_again(llama_folder, cache):
    backbone, task = backbone_of(llama_folder), task_of(WORTH)
    both(backbone, task)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    cached, made = both(backbone, task)
    assert cached == made and path.read_bytes() == whole


def test_another_length_is_another_file(llama_folder, cache):
    task = task_of(WORTH)
    for longest in (20, 24):
        cached, made = both(backbone_of(llama_folder, longest), task)
        assert cached == made
    assert len(list(cache.iterdir())) == 2


def test_few_rows_leave_no_file(llama_folder, cache):
    cached, made = both(backbone_of(llama_folder), task_of(WORTH - 1))
    assert cached == made and not cache.exists()
