"""The models that are measured: a Llama of random weights, and the quick-start model if at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from size import Size
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from words import ANSWERS, INSTRUCTION, WORDS

from amlora.cache import cache_folder
from amlora.engine.backbone import Backbone
from amlora.engine.builtin import BUILT_IN, quietly
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings

QUICK_START = "smollm2-135m"
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
VOCABULARY = 1024
SHAPES = {"full": (8, 576, 1536, 9, 3), "quick": (8, 576, 1536, 9, 3), "smoke": (2, 48, 96, 4, 2)}
"""Layers, width, hidden width, heads, key-value heads: a third of the quick-start model."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model by the name that rows give it, and how to load it."""

    label: str
    settings: ModelSettings

    def load(self, *, frozen: bool = True) -> Backbone:
        """Load it anew: methods and adapters are put into a model and cannot be taken out."""
        return load_backbone(self.settings, frozen=frozen)


def quick_start() -> Subject:
    """Return the quick-start model, which is fetched where it is not at hand."""
    return Subject(QUICK_START, ModelSettings(name=QUICK_START))


def at_hand() -> bool:
    """Tell whether the quick-start model lies in the cache."""
    name = f"{QUICK_START}-{BUILT_IN[QUICK_START].member_sha256[:8]}"
    return (cache_folder() / "models" / name).is_dir()


@contextmanager
def subjects(size: Size) -> Iterator[list[Subject]]:
    """Give the random Llama, and the quick-start model behind it unless this is a smoke run."""
    layers, width, *_ = SHAPES[size]
    with TemporaryDirectory() as folder:
        save_random_llama(Path(folder), size)
        settings = ModelSettings(name=folder)
        found = [Subject(f"random llama, {layers} x {width}", settings)]
        yield [*found, quick_start()] if size != "smoke" and at_hand() else found


@contextmanager
def main_subject(size: Size) -> Iterator[Subject]:
    """Give the quick-start model, to which the bars are set; in a smoke run the random Llama."""
    if size == "smoke":
        with subjects(size) as (small,):
            yield small
    else:
        yield quick_start()


def save_random_llama(folder: Path, size: Size) -> None:
    """Write a seeded model and a tokenizer that has a token for each made-up word."""
    layers, width, hidden, heads, key_value_heads = SHAPES[size]
    config = LlamaConfig.from_dict(
        {
            "vocab_size": VOCABULARY,
            "hidden_size": width,
            "intermediate_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": key_value_heads,
            "max_position_embeddings": 2048,
            "bos_token_id": SPECIAL.index("<s>"),
            "eos_token_id": SPECIAL.index("</s>"),
            "pad_token_id": SPECIAL.index("<pad>"),
            "tie_word_embeddings": True,
        }
    )
    torch.manual_seed(0)
    with quietly():
        LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def train_tokenizer() -> Tokenizer:
    """Train a byte-level BPE on the made-up words and what stands around them."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = [INSTRUCTION, WORDS, f"Option: {', '.join(ANSWERS)}", "Answer:"]
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer
