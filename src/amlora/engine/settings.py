"""Settings of the base model and of evaluation; light to import, so that a config loads quickly."""

from typing import Literal

import msgspec

from amlora.evaluate.score import Rule

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Scope = Literal["needed", "learned", "ends", "all"]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which base model, and how it is loaded."""

    name: str = "smollm2-135m"
    """"smollm2-135m" (built in), a local folder, a path ending in .gguf, or an id on the hub."""
    gguf_file: str = ""
    """A GGUF file inside the folder or the hub repository `name`; its weights are dequantised."""
    revision: str = ""
    """Commit, tag or branch on the hub; a commit pins it. Empty: the repository's main branch."""
    precision: Precision = "auto"
    """Type of the arithmetic; auto: bfloat16 where the device multiplies it natively."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention kernel; auto is eager on the CPU, whose fused kernel has a slow backward pass at
    the lengths of prompts, and elsewhere transformers' choice."""
    dropout: float | None = 0.0
    """The base model's own dropout, 0..1, in every layer that has one; null leaves the model's."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Never needed for the models named in the docs."""
    max_tokens: int = 512
    """Longest prompt in tokens; a longer one is shortened in its text, which is counted and said.
    The answer comes on top."""
    device: Device = "auto"
    """Where the model runs; auto: cuda if there is one."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name must not be empty")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in 0..1 (1 excluded) or null, got {self.dropout}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")


class EvaluateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How answers are scored."""

    method: Literal["pass", "generate"] = "pass"
    """pass: one forward pass decides most rows and the doubtful ones are generated, with the same
    decisions; generate: every row is generated (the reference, slow)."""
    tokens_per_batch: int = 4096
    """Most prompt and answer tokens in one forward pass, padding included."""
    rule: Rule = "reference"
    """reference: answers are compared without case, ASCII punctuation and extra white space, so a
    sign or a point in a number does not count; exact: as they are, white space around them aside.
    Nothing else follows from it: options must differ by the reference's rule."""
    max_new_tokens: int = 50
    """Where generation stops; raised, and said, where a gold answer or an option is longer."""
    margin: float | None = None
    """Rows whose two best logits are closer than this are generated; none: measured before every
    evaluation in float32; in bfloat16, where both ways round as much, only ties are."""
    split: Literal["test", "dev"] = "test"
    """Which rows are scored; dev for choosing settings."""
    scope: Scope = "needed"
    """needed: after a stage the tasks learned so far and the next one, and all before learning,
    which is what the metrics use; learned: only those learned so far, so without FWT; ends: a
    task when it was learned and all at the end, so without FWT and forgetting; all: every task
    after every stage."""
    attention_rows: int = 16
    """Scored rows of each task over which attention is averaged at the end."""
    general: str = ""
    """Texts and questions of no task, measured before learning and after the last stage: "builtin",
    or a TOML file like the built-in `amlora/experiment/general.toml`. Empty: not measured."""

    def __post_init__(self) -> None:
        if self.tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch must be at least 1, got {self.tokens_per_batch}")
        if self.attention_rows < 1:
            raise ValueError(f"attention_rows must be at least 1, got {self.attention_rows}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.margin is not None and not self.margin >= 0:
            raise ValueError(f"margin must be at least 0 or null, got {self.margin}")
