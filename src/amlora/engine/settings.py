"""Settings of the base model, training and evaluation; light, so that a config loads quickly."""

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from amlora.evaluate.score import Rule
from amlora.settings import Pair, Settings

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Scope = Literal["needed", "learned", "ends", "all"]


BUILTIN = "builtin"
"""Of `evaluate.general`: the texts and questions that come with amlora."""


class ModelSettings(Settings):
    """Which base model, and how it is loaded."""

    name: Annotated[str, Field(min_length=1)] = "smollm2-135m"
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
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    """The base model's own dropout, 0..1, in every layer that has one; none leaves the model's."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Never needed for the models named in the docs."""
    max_tokens: PositiveInt = 512
    """Longest prompt in tokens; a longer one is shortened in its text, which is counted and said.
    The answer comes on top."""
    device: Device = "auto"
    """Where the model runs; auto: cuda if there is one."""


class TrainSettings(Settings):
    """How a stage is optimised: AdamW (Loshchilov & Hutter 2019) with the given rate."""

    lr: PositiveFloat = 1e-3
    """The peak learning rate of groups that have none of their own."""
    batch: PositiveInt = 8
    """Rows in one optimiser step, over all micro-batches and processes."""
    micro_batch: PositiveInt = 8
    """Rows in one forward pass of one process."""
    micro_tokens: PositiveInt | None = None
    """Most tokens in one forward pass of one process, padding included; a longer row is alone. None
    for no limit. Memory grows with them, and a step of rows of many lengths is padded less."""
    epochs: PositiveFloat = 1.0
    """Passes over a task's rows (section 7.3: one); ignored when `steps` is set."""
    steps: PositiveInt | None = None
    """Optimiser steps of every stage."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The rate after warm-up: constant (section 7.3), or falling to 0 at the stage's end."""
    warmup: NonNegativeInt = 0
    """Steps over which the rate rises from 0."""
    clip: NonNegativeFloat = 1.0
    """The largest norm of the task loss's gradient; 0 for no clipping."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW's (section 7.3: 0)."""
    betas: Pair[Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """AdamW's."""
    bucketed: bool = True
    """Batches of rows of similar length, in random order; the `paper` profile switches it off."""
    checkpoint_every: NonNegativeInt = 50
    """Steps between checkpoints within a stage; 0 for stage ends only."""

    def rate(self, step: int, steps: int) -> float:
        """Return the factor on the peak rate at a step, 0 for the first, of a stage of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = (steps - step) / max(1, steps - self.warmup)
        if self.schedule == "linear":
            return left
        return (1 + math.cos(math.pi * (1 - left))) / 2 if self.schedule == "cosine" else 1.0


class EvaluateSettings(Settings):
    """How answers are scored."""

    method: Literal["pass", "generate"] = "pass"
    """pass: one forward pass decides most rows and the doubtful ones are generated, with the same
    decisions; generate: every row is generated (the reference, slow)."""
    tokens_per_batch: PositiveInt = 4096
    """Most prompt and answer tokens in one forward pass, padding included."""
    rule: Rule = "reference"
    """reference: answers are compared without case, ASCII punctuation and extra white space, so a
    sign or a point in a number does not count; exact: as they are, white space around them aside.
    Nothing else follows from it: options must differ by the reference's rule."""
    max_new_tokens: PositiveInt = 50
    """Where generation stops; raised, and said, where a gold answer or an option is longer."""
    margin: NonNegativeFloat | None = None
    """Rows whose two best logits are closer than this are generated; none: measured before every
    evaluation in float32; in bfloat16, where both ways round as much, only ties are."""
    split: Literal["test", "dev"] = "test"
    """Which rows are scored; dev for choosing settings."""
    scope: Scope = "needed"
    """needed: after a stage the tasks learned so far and the next one, and all before learning,
    which is what the metrics use; learned: only those learned so far, so without FWT; ends: a
    task when it was learned and all at the end, so without FWT and forgetting; all: every task
    after every stage."""
    attention_rows: PositiveInt = 16
    """Scored rows of each task over which attention is averaged at the end."""
    general: str = ""
    """Texts and questions of no task, measured before learning and after the last stage: "builtin",
    or a TOML file like the built-in `amlora/experiment/general.toml`. Empty: not measured."""
