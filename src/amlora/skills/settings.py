"""How `learn` learns: settings that are good enough to leave alone."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from amlora.methods.lora import LoRASettings
from amlora.records.skills import NO_SKILL, Metric
from amlora.settings import Many, Settings
from amlora.streams.settings import NAME

KeepDev = NonNegativeInt | Literal["vectors"]
"""Rows a skill, or "vectors": the prompts' vectors alone. They are means of the embeddings of a
prompt's tokens: who has the base model can work out which words a short prompt had."""


class Words(Settings):
    """The words around a task's texts, and where its rows' columns are."""

    instruction: str = ""
    """Stands before every text."""
    options: Many[str] = ()
    """The allowed answers; empty: the distinct labels, or free text where they are many."""
    text: str = "text"
    """Column of the text."""
    label: str = "label"
    """Column of the answer."""
    metric: Metric | None = None
    """How an answer is scored; None: exact with options, else by the answers' length."""


class LearnSettings(Settings):
    """How one skill is learned."""

    lora: LoRASettings = LoRASettings()
    """The skill's own LoRA."""
    combine: Literal["sum", "attention"] = "sum"
    """"sum": what a skill uses is added up, so that it is one plain LoRA. "attention": the paper's
    mixture of what it uses and its own, with a gain of their number; it is no single LoRA."""
    prompts: Literal["asked", "any"] | None = None
    """How prompts will be worded; None: as the folder has it, "asked" in a new one. "asked": as in
    training, and what is worded otherwise goes to the base model. "any": bare texts, other wordings
    and chats find their skill as well; few prompts of no skill are then left to the base model."""
    uses: Literal["auto", "none", "all"] = "auto"
    """Which earlier skills a new one is learned on top of; "auto" decides on its own rows."""
    lr: PositiveFloat = 3e-3
    """The learning rate."""
    batch: PositiveInt = 8
    """Rows in an optimiser step."""
    epochs: PositiveFloat = 3.0
    """Most passes over the rows; learning stops earlier where the stop rows get no better."""
    train_tokens: PositiveInt | Literal["auto"] = "auto"
    """Most tokens that are read in learning; "auto": 30,000 on the CPU, about a minute of a model
    of 135 million weights on two idle cores, and no limit elsewhere. `steps` goes before both."""
    steps: PositiveInt | None = None
    """Exactly so many steps, and no early stop."""
    patience: PositiveInt = 4
    """Looks at the stop rows without a better one, after which learning stops; there are eight."""
    max_train: PositiveInt | None = None
    """At most so many train rows."""
    keep_dev: KeepDev = 200
    """Rows that are kept beside the skill, so that later versions can be compared on them. They are
    your data: whoever gets the folder can read them."""
    max_drop: Annotated[NonNegativeFloat, Field(le=100)] = 2.0
    """Points that an earlier skill may be shown to lose, for a version to be published."""
    max_tokens: PositiveInt = 512
    """Longest prompt in tokens; a longer one is shortened in its text, which is said."""
    tune: bool = False
    """Try rates of 0.001, 0.003 and 0.01 first, each for a quarter of the steps, and learn with the
    one whose stop rows get best, instead of `lr`; the trials are recorded."""
    seed: NonNegativeInt = 0
    """Decides every random choice."""


RESERVED = {
    NO_SKILL: "no skill at all",
    "base": "the base model alone",
    "all": "all skills together",
}
"""Names that stand for something else wherever skills are named, and for what."""


def check_name(name: str) -> str:
    """Refuse what is no skill's name, by a ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r}: use 1 to 64 letters, digits and . _ + -, a letter or digit first."
        )
    if stands := RESERVED.get(name.lower()):
        raise ValueError(f"{name!r} stands for {stands}; use another name.")
    return name
