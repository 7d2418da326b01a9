"""How prompts are read for a statistic: what tokens count, texts alone, and chats."""

import pytest
import torch

from amlora.engine.chat import turn_of
from amlora.engine.encode import encode_prompts
from amlora.engine.route import Reader, vector_of
from amlora.mixture.stages import StageSettings
from amlora.streams.prompt import Prompt
from trained import load_base

IDS = (30, 45, 30, 60, 30, 30)
CHAT = (
    "{% for m in messages %}{{ '[' + m['role'] + ']\n' + m['content'] + '\n[over]\n' }}{% endfor %}"
)


def settings(**given) -> StageSettings:
    plain = {"mixing": "hard", "temperature": 1.0, "reject": 0.0, "shrinkage": 0.1}
    return StageSettings(**{**plain, "covariance": "full", "words": "any", **given})


def said(backbone, text: str) -> tuple[int, ...]:
    [(ids, _)] = encode_prompts(backbone, [Prompt("", text, "")])
    return ids


@pytest.mark.parametrize("layers", [0, 1])
def test_a_token_counts_as_the_root_of_how_often_it_stands_there(any_folder, layers):
    backbone = load_base(any_folder)
    if layers:
        from amlora.engine.route import states_after

        states = states_after(backbone, IDS, layers).float()
    else:
        states = backbone.model.get_input_embeddings()(torch.tensor(IDS)).detach().float()
    weights = torch.tensor([0.5, 1, 0.5, 1, 0.5, 0.5])  # four times, once, .. once
    expected = (weights[:, None] * states).sum(0) / weights.sum()
    torch.testing.assert_close(vector_of(backbone, IDS, layers, "root"), expected)


def test_a_lesson_has_each_prompt_and_its_text_alone(any_folder):
    backbone = load_base(any_folder)
    texts = ["good film", " ", "bad film"]
    prompts = [said(backbone, f"Which? {text} Answer:") for text in texts]
    reader = Reader(backbone, settings(tokens="root"))
    found = reader.lesson(prompts, texts)
    assert torch.equal(found[:, 0], reader.vectors(prompts))
    assert torch.equal(found[2, 1], reader.vector(said(backbone, "bad film")))
    assert torch.equal(found[1, 1], found[1, 0])  # nothing to be read alone
    asked = Reader(backbone, settings(words="asked", tokens="root"))
    assert torch.equal(asked.lesson(prompts, texts), found[:, 0])


def test_a_chat_is_told_by_its_last_question(llama_folder):
    backbone = load_base(llama_folder)
    assert turn_of(backbone.tokenizer) is None  # as it has no template
    backbone.tokenizer.chat_template = CHAT
    reader, asked = (Reader(backbone, settings(words=words)) for words in ("any", "asked"))
    plain = said(backbone, "Is it good? a film")
    told = said(
        backbone,
        "[user]\nWho?\n[over]\n[assistant]\nme\n[over]\n[user]\nIs it good? a film\n[over]\n"
        "[assistant]\n",
    )
    torch.testing.assert_close(reader.vector(told), reader.vector(plain))
    assert not torch.allclose(asked.vector(told), asked.vector(plain))
    silent = said(backbone, "[user]\n\n[over]\n")
    assert torch.equal(reader.vector(silent), asked.vector(silent))


def test_a_template_that_cannot_be_filled_is_as_none(llama_folder):
    backbone = load_base(llama_folder)
    for template in ("{{ raise_exception('no') }}", "{{ nothing", "constant"):
        backbone.tokenizer.chat_template = template
        assert turn_of(backbone.tokenizer) is None
