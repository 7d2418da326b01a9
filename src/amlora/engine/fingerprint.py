"""Which base model this is: hashes of all its weights, and of what its tokenizer does.

Neither depends on where the files lie, in which precision they were loaded, or on what was put into
the model afterwards.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

import tokenizers
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from amlora.formats import digest

PROBES = (
    "Is this a good film? Yes, it's GREAT!",
    "  two blanks, a tab\tand\na line; 3.14 % of 1,000,000 = $31,400",
    "Übergröße, naïve café, ﬁne, Ⅷ, 東京タワー, Привет, عربى, 👍🏽",
    "def f(x): return x[0] != {'a': -1e-5}  # <unk> </s> <|im_end|>",
)
"""Tokenised for the hash: they show how a tokenizer normalises, cuts, merges and closes texts."""


def weights_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of weights in whatever order: names, shapes and values.

    Values are rounded to bfloat16 first, so a model has one fingerprint whether it was loaded in
    float32 or in bfloat16.
    """
    hashed = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        weight = weight.detach().to("cpu", torch.bfloat16).contiguous()
        hashed.update(f"{name} {tuple(weight.shape)}\n".encode())
        hashed.update(weight.view(torch.int16).numpy().tobytes())
    return hashed.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase, ends: Sequence[int]) -> str:
    """Return the sha256 of what decides a text's ids and where an answer ends.

    Fields that say nothing about ids (the file's version, padding, truncation) do not count. `ends`
    are the ids that end and pad answers, in a fixed order.
    """
    backend = tokenizer.backend_tokenizer
    assert isinstance(backend, tokenizers.Tokenizer), "load_backbone refuses slow tokenizers"
    stored = json.loads(backend.to_str())
    model = stored["model"]
    return digest(
        {
            "type": model.get("type"),
            "vocabulary": model.get("vocab"),
            "merges": model.get("merges", []),
            "added": [
                [token["id"], token["content"], token["special"]]
                for token in stored["added_tokens"]
            ],
            "unknown": tokenizer.unk_token_id,
            "ends": list(ends),
            "probes": tokenizer(list(PROBES)).input_ids,
        }
    )
