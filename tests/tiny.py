"""Tiny models of both families, made from configs, with real fast tokenizers, saved for the loader.

Weights are random but seeded. Two layers of width 48 are enough to learn a small classification
task by heart. The tokenizers are byte-level BPE (any text survives encode-decode) trained on the
text below; llama's puts `<s>` in front, T5's appends `</s>`, as the real ones do.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, task_loss
from amlora.engine.encode import Row

VOCABULARY = 420
TEXT = """
What is the sentiment of the following paragraph? Choose one from the option.
What is the topic of the following paragraph? Choose one from the option.
Option: Good, Bad
Option: very negative, negative, neutral, positive, very positive
Option: World, Sports, Business, Science or Technology
Option: True, False, entailment, contradiction
Title: a good film. Text: the actors are good and the story is good too.
Title: a bad film. Text: the actors are bad and the story is very bad too.
sentence 1: the team won the game. sentence 2: the market fell today.
Task: Dataset: Answer: Good Answer: Bad Answer: World Answer: Sports
"""


def train_tokenizer(special: list[str]) -> Tokenizer:
    """Train a byte-level BPE on the text above; the special tokens get the first ids, in order."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    return tokenizer


def tiny_llama(folder: Path, *, seed: int = 0) -> Path:
    """Save a decoder-only model (4 heads, 2 key-value heads) and its tokenizer in `folder`."""
    tokenizer = train_tokenizer(["<unk>", "<s>", "</s>", "<pad>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    config = LlamaConfig.from_dict(
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 3,
            "initializer_range": 0.1,
            "tie_word_embeddings": True,
        }
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    return folder


def tiny_t5(folder: Path, *, seed: int = 0, tied: bool = False) -> Path:
    """Save an encoder-decoder model and its tokenizer in `folder`.

    Gated with its own head as T5 v1.1, or, with `tied`, ReLU and a shared head as the first T5.
    """
    tokenizer = train_tokenizer(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    config = T5Config.from_dict(
        {
            "vocab_size": VOCABULARY,
            "d_model": 48,
            "d_kv": 12,
            "d_ff": 96,
            "num_layers": 2,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "feed_forward_proj": "relu" if tied else "gated-gelu",
            "tie_word_embeddings": tied,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 1,
        }
    )
    torch.manual_seed(seed)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    return folder


def tiny_gguf(path: Path, *, seed: int = 0) -> Path:
    """Write a GGUF file with a llama of one layer, float32, and a byte-level BPE tokenizer."""
    from gguf import GGUFWriter, TokenType

    vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *vocabulary, "Go", "od", "Good"]
    width, inner, heads = 32, 64, 4
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(["G o", "o d", "Go od"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    torch.manual_seed(seed)
    shapes = {
        "token_embd": (len(tokens), width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (width // 2, width),
        "blk.0.attn_v": (width // 2, width),
        "blk.0.attn_output": (width, width),
        "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width),
        "blk.0.ffn_down": (width, inner),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (0.1 * torch.randn(shape)).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def learn(backbone: Backbone, rows: list[Row], *, steps: int, rate: float = 3e-3) -> None:
    """Train all weights on the same rows again and again; the last mode is eval."""
    optimiser = torch.optim.AdamW(backbone.model.parameters(), lr=rate)
    batch = collate(rows, backbone, share=1 / sum(len(row.answer_ids) for row in rows))
    backbone.model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        task_loss(backbone, batch).backward()
        optimiser.step()
    backbone.model.eval()
