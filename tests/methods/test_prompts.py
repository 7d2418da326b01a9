"""Soft prompts as token ids: the same as input embeddings by hand, on both families."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, collate, target_logits, task_loss
from amlora.engine.encode import Row
from amlora.engine.exact import score_rows
from amlora.engine.generate import Seen, generate_ids, inference
from amlora.engine.load import load_backbone
from amlora.engine.prefix import NOTHING, shared_prefix
from amlora.engine.settings import EvaluateSettings, ModelSettings
from amlora.errors import InputError
from amlora.methods.parts.prompts import (
    PromptEmbedding,
    add_prompts,
    behind,
    check_positions,
    from_vocabulary,
    in_front,
)
from tiny import VOCABULARY
from trained import load_base

COUNT = 12
SOFT = tuple(range(VOCABULARY, VOCABULARY + COUNT))


def rows() -> list[Row]:
    """Rows of different lengths, prompts and answers."""
    ends = [(50,), (51, 52, 53), (54, 55), (50, 50, 50, 50, 50)]
    answers = [(90, 2), (91, 92, 2), (93, 2), (94, 2)]
    pairs = zip(ends, answers, strict=True)
    return [Row("t", str(i), (1, 40, *end), answer, "x") for i, (end, answer) in enumerate(pairs)]


def prompted(
    folder, *, precision: Literal["float32", "bfloat16"] = "float32"
) -> tuple[Backbone, nn.Parameter]:
    """Return a model with COUNT soft vectors that are no token's embedding."""
    backbone = load_backbone(
        ModelSettings(name=str(folder), precision=precision, device="cpu"), frozen=True
    )
    embedding = add_prompts(backbone)
    width = embedding.weight.shape[1]
    vectors = nn.Parameter(torch.randn(COUNT, width, generator=torch.Generator().manual_seed(0)))
    embedding.vectors = lambda: vectors
    return backbone, vectors


def by_hand(folder, batch: Batch, vectors: Tensor) -> Tensor:
    """Return the logits of an untouched model that is given input embeddings."""
    plain = load_base(folder)
    ids = batch.inputs["input_ids"]
    table = torch.cat([plain.model.get_input_embeddings().get_parameter("weight"), vectors])
    inputs = {name: x for name, x in batch.inputs.items() if name != "input_ids"}
    logits = plain.model(**inputs, inputs_embeds=table[ids], use_cache=False).logits
    return logits[:, -batch.labels.shape[1] :]


@pytest.mark.parametrize("place", [in_front, behind])
def test_soft_ids_read_as_input_embeddings_given_by_hand(any_folder, place):
    backbone, vectors = prompted(any_folder)
    batch = collate(place(rows(), SOFT), backbone, share=1.0)
    with torch.no_grad():
        ours = target_logits(backbone, batch)
        assert torch.equal(ours, by_hand(any_folder, batch, vectors))
        other = target_logits(backbone, collate(rows(), backbone, share=1.0))
    assert (ours - other).abs().max() > 0.1


def stepped(backbone: Backbone, ids: tuple[int, ...], new: list[int]) -> Tensor:
    """Return (new + 1, V) logits before each new token, each by a whole pass without a cache."""
    found: list[Tensor] = []
    for count in range(len(new) + 1):
        if backbone.family == "encoder-decoder":
            decoder = torch.tensor([[backbone.start_id, *new[:count]]])
            inputs = {"input_ids": torch.tensor([ids]), "decoder_input_ids": decoder}
        else:
            inputs = {"input_ids": torch.tensor([[*ids, *new[:count]]])}
        found.append(backbone.model(**inputs, use_cache=False).logits[0, -1])
    return torch.stack(found)


def test_generation_with_a_cache_is_that_of_whole_passes(any_folder):
    backbone, _ = prompted(any_folder)
    longer = in_front(rows(), SOFT)
    with inference(backbone):
        together = generate_ids(backbone, [row.prompt_ids for row in longer], 6)
        for row, bare, ids in zip(longer, rows(), together, strict=True):
            seen = Seen(torch.Tensor.clone)
            assert generate_ids(backbone, [row.prompt_ids], 6, watch=seen) == [ids]
            whole = stepped(backbone, row.prompt_ids, ids)[: len(seen.steps)]
            torch.testing.assert_close(torch.cat(seen.steps), whole, rtol=1e-4, atol=1e-4)
            assert whole.argmax(-1).tolist()[: len(ids)] == ids
            without = stepped(backbone, bare.prompt_ids, ids)[: len(seen.steps)]
            assert (whole - without).abs().max() > 0.1


def test_soft_prompts_are_a_shared_prefix(llama_folder):
    backbone, _ = prompted(llama_folder)
    longer = in_front(rows(), SOFT)
    with inference(backbone):
        prefix = shared_prefix(backbone, longer)
        assert prefix.length == COUNT + 2
        batch, ours = prefix.logits(backbone, [prefix.cut(row) for row in longer])
        _, whole = NOTHING.logits(backbone, longer)
    targets = batch.labels >= 0
    torch.testing.assert_close(ours[targets], whole[targets], rtol=1e-4, atol=1e-4)
    settings = EvaluateSettings(tokens_per_batch=64, max_new_tokens=4)
    together, _ = score_rows(backbone, longer, settings)
    alone = [score_rows(backbone, [row], settings)[0][0].hit for row in longer]
    assert [answer.hit for answer in together] == alone


def test_gradients_reach_the_vectors_that_were_read_and_nothing_else(any_folder):
    backbone, vectors = prompted(any_folder)
    before = {n: t.clone() for n, t in backbone.model.state_dict().items()}
    read = SOFT[2:5]
    task_loss(backbone, collate(in_front(rows(), read), backbone, share=1.0)).backward()
    assert vectors.grad is not None
    reached = vectors.grad.abs().sum(1) > 0
    assert reached.tolist() == [id in read for id in SOFT]
    assert all(weight.grad is None for weight in backbone.model.parameters())
    after = backbone.model.state_dict()
    assert all(torch.equal(old, after[name]) for name, old in before.items())


def test_a_model_in_bfloat16_reads_and_trains_float32_vectors(any_folder):
    backbone, vectors = prompted(any_folder, precision="bfloat16")
    assert backbone.model.dtype == torch.bfloat16
    task_loss(backbone, collate(in_front(rows(), SOFT), backbone, share=1.0)).backward()
    assert vectors.grad is not None and vectors.grad.dtype == torch.float32
    assert torch.isfinite(vectors.grad).all() and vectors.grad.abs().sum() > 0


@pytest.mark.parametrize("count", [0, 3])
def test_an_id_without_a_vector_is_an_error(any_folder, count):
    embedding = add_prompts(load_base(any_folder))
    vectors = torch.zeros(count, embedding.weight.shape[1])
    embedding.vectors = lambda: vectors
    with pytest.raises(IndexError):
        embedding(torch.tensor([[5, embedding.first + count]]))


class Scaled(nn.Embedding):
    """A table whose rows are scaled when they are read, as Gemma's are."""

    def forward(self, input: Tensor) -> Tensor:
        return 3 * super().forward(input)


def test_a_prompt_starts_as_the_model_reads_tokens_not_as_the_table_holds_them():
    embedding = PromptEmbedding(Scaled(5, 2))
    made = from_vocabulary(embedding, 4, torch.Generator().manual_seed(0))
    same = (made[:, None] == 3 * embedding.weight[None]).all(-1)
    assert same.any(1).all()


def test_rows_that_soft_prompts_make_too_long_are_refused(llama_folder, t5_folder):
    [row] = in_front([Row("t", "7", (5,) * 500, (90, 2), "x")], SOFT)
    shorter = Row("t", "8", (5,) * 510, (90, 2), "x")
    check_positions(load_base(llama_folder), [shorter])
    check_positions(load_base(t5_folder), [row])  # relative positions have no limit
    with pytest.raises(InputError, match=r"row 7 of t needs 514 positions .* the model has 512"):
        check_positions(load_base(llama_folder), [row])
