"""Generation: greedy at batch one, the reference that every score is defined by, or sampled.

`generate` fills whatever a passed generation config leaves open from the model's own, which may
sample, search with beams or punish repetition. So the model's config itself is replaced for the
call, and put back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.configuration_utils import GenerationMode

from amlora.engine.backbone import Backbone
from amlora.engine.batch import prompt_inputs
from amlora.mixture.route import Route


@contextmanager
def inference(backbone: Backbone) -> Iterator[None]:
    """Eval mode (put back afterwards), no gradients, autocast where the backbone asks for it."""
    with torch.inference_mode(), backbone.evaluating():
        yield


@contextmanager
def configured(backbone: Backbone, max_new_tokens: int, top_k: int | None) -> Iterator[None]:
    """Make the model's own generation config a plain one, and put the old one back."""
    model = backbone.model
    config = GenerationConfig(
        do_sample=top_k is not None,
        top_k=top_k,
        num_beams=1,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(backbone.end_ids),
        pad_token_id=backbone.pad_id,
        decoder_start_token_id=backbone.start_id,
    )
    wanted = GenerationMode.GREEDY_SEARCH if top_k is None else GenerationMode.SAMPLE
    assert config.get_generation_mode() is wanted
    old = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = old


class Seen(LogitsProcessor):
    """Keeps what a function tells of each step's logits, and leaves them as they are."""

    def __init__(self, tell: Callable[[Tensor], Tensor]) -> None:
        self.tell = tell
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps.append(self.tell(scores))
        return scores


def leads(logits: Tensor) -> Tensor:
    """Return how far the best of the last dimension's numbers is above the second best."""
    top = logits.topk(2).values
    return top[..., 0] - top[..., 1]


def generate_ids(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    watch: LogitsProcessor | None = None,
    stop: StoppingCriteria | None = None,
    top_k: int | None = None,
    routes: Sequence[Route | None] = (),
) -> list[list[int]]:
    """Generate for prompts of one batch; call it inside `inference`.

    Args:
        backbone: the model.
        prompts: token ids; they are padded to one length, on the left for decoder-only models.
        max_new_tokens: where generation stops.
        watch: sees the logits of each step; what it returns takes their place.
        stop: ends rows early; pad tokens follow.
        top_k: draw from so many likeliest tokens by torch's global random state; None: greedy.
        routes: of the prompts, kept to the end of their answers; none for the model as it is.

    Returns:
        For each prompt the new ids before its first end token.
    """
    model = backbone.model
    inputs = {key: ids.to(model.device) for key, ids in prompt_inputs(backbone, prompts).items()}
    with configured(backbone, max_new_tokens, top_k), backbone.routing.of(routes, model.device):
        # A mixin brings `generate`, which the type PreTrainedModel does not know.
        out = model.generate(  # pyright: ignore
            **inputs,
            logits_processor=LogitsProcessorList([watch] if watch else []),
            stopping_criteria=StoppingCriteriaList([stop] if stop else []),
        )
    first = inputs["input_ids"].shape[1] if backbone.family == "decoder-only" else 1
    return [cut_at_end(row, backbone.end_ids) for row in out[:, first:].tolist()]


def cut_at_end(ids: list[int], end_ids: frozenset[int]) -> list[int]:
    """Return the ids before the first end token."""
    stops = (i for i, token in enumerate(ids) if token in end_ids)
    return ids[: next(stops, len(ids))]


def generate_each(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch: int = 1,
    routes: Sequence[Route | None] = (),
) -> list[list[int]]:
    """Generate an answer to each prompt, greedily.

    Args:
        backbone: the model; its mode and generation config are as before afterwards.
        prompts: token ids, as `encode_prompt` makes them.
        max_new_tokens: where generation stops.
        batch: prompts at once. One is the reference; more is faster and may round otherwise.
        routes: of the prompts; none for the model as it is.

    Returns:
        The ids before the end token, in the order of the prompts; `max_new_tokens` of them where
        the answer had not ended.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    out: list[list[int]] = [[] for _ in prompts]
    with inference(backbone):
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            own = [routes[i] for i in chosen if routes]
            ids = [prompts[i] for i in chosen]
            answers = generate_ids(backbone, ids, max_new_tokens, routes=own)
            for i, answer in zip(chosen, answers, strict=True):
                out[i] = answer
    return out
