"""What learning does to the rest of a model: texts and questions that are of no task.

Measured before learning and after the last stage. A passage is a row whose prompt is its beginning
and whose answer is the rest, so that methods that look at prompts treat it as any other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from amlora import files
from amlora.engine.answer import Answer
from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, encode_pairs, lost_of
from amlora.engine.likelihood import Likelihood
from amlora.engine.settings import BUILTIN
from amlora.evaluate.lost import Lost
from amlora.experiment.toml import read_toml
from amlora.formats import typed
from amlora.records.schema import Unrelated
from amlora.settings import Many, Settings
from amlora.streams.prompt import Prompt

HERE = Path(__file__).with_name("general.toml")
TASK = "general"
"""What the rows name as their task; no method is told it."""


def not_blank(text: str) -> str:
    """Refuse a text without letters."""
    if not text.strip():
        raise ValueError("a text is needed.")
    return text


Words = Annotated[str, AfterValidator(not_blank)]


class Passage(Settings):
    """A text in two parts, which a blank joins."""

    prompt: Words
    rest: Words
    """What the loss is taken of."""


class Question(Settings):
    """A text that a few words complete."""

    prompt: Words
    answer: Words


class Texts(Settings):
    """A file of texts and questions."""

    passages: Annotated[Many[Passage], Field(min_length=1)]
    questions: Annotated[Many[Question], Field(min_length=1)]


@dataclass(frozen=True)
class General:
    """The texts and questions as rows."""

    passages: list[Row]
    questions: list[Row]
    lost: dict[str, Lost]
    """What tokenising lost of both, by kind."""
    digest: str
    """sha256 of the file."""


def read_texts(name: str) -> tuple[Texts, str] | None:
    """Read a file of texts and questions, "builtin", a path, or "" for none; return its sha256 too.

    Raises:
        InputError: no TOML file, or one that lacks something; its path stands in front.
    """
    if not name:
        return None
    path = HERE if name == BUILTIN else Path(name)
    texts = typed(path, read_toml(path, follow=True), Texts)
    return texts, files.sha256_file(path, follow=True)


def general_rows(backbone: Backbone, texts: Texts, digest: str) -> General:
    """Tokenise texts and questions, with nothing around them; too long prompts are shortened."""

    def rows(kind: str, pairs: list[tuple[str, str]]) -> tuple[list[Row], Lost]:
        prompts = [Prompt("", prompt, "") for prompt, _ in pairs]
        encoded, cuts = encode_pairs(backbone, prompts, [answer for _, answer in pairs])
        found = [
            Row(TASK, f"{kind} {number}", *ids, answer)
            for number, (ids, (_, answer)) in enumerate(zip(encoded, pairs, strict=True), start=1)
        ]
        written = [(row.gold, row.answer_ids) for row in found]
        return found, lost_of(backbone, [row.prompt_ids for row in found], cuts, written)

    passages, cut = rows("passage", [(each.prompt, each.rest) for each in texts.passages])
    questions, also = rows("question", [(each.prompt, each.answer) for each in texts.questions])
    return General(passages, questions, {"passage": cut, "question": also}, digest)


def moment(
    after: int,
    passages: Sequence[Row],
    questions: Sequence[Row],
    likelihoods: Sequence[Likelihood],
    answers: Sequence[Answer],
) -> Unrelated:
    """Return what a record says of one measurement, after a stage or -1, before learning.

    The likelihoods are of the passages' rests and then of the questions' answers.
    """
    # An end token belongs to answers, not to text: whether one comes says nothing of the text.
    logs = [log for each in likelihoods[: len(passages)] for log in each.logs[:-1]]
    asked = likelihoods[len(passages) :]
    routes = [row.route for row in (*passages, *questions) if isinstance(row.route, tuple)]
    return Unrelated(
        after=after,
        loss=-math.fsum(logs) / len(logs),
        tokens=len(logs),
        passages=len(passages),
        right=sum(answer.hit for answer in answers),
        begun=sum(all(each.best[:-1]) for each in asked),
        questions=len(questions),
        rejected=math.fsum(route[0] for route in routes) / len(routes) if routes else None,
    )
