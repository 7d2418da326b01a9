"""How likely answers are, against each row alone and one position at a time."""

import pytest

from amlora.engine.encode import Row
from amlora.engine.likelihood import answer_likelihoods
from literal import next_logits
from trained import load_base

ROWS = [
    Row("t", str(i), (1, *range(40, 43 + 3 * i)), (*range(90, 92 + i), 2), "x") for i in range(4)
]


@pytest.mark.parametrize("tokens", [1, 40, 10_000])
def test_each_token_has_its_logarithm_and_is_the_best_or_not(any_folder, tokens):
    backbone = load_base(any_folder)
    rows = [*ROWS]
    best = int(next_logits(backbone, rows[0], 0).argmax())
    rows[0] = Row("t", "0", rows[0].prompt_ids, (best, *rows[0].answer_ids[1:]), "x")
    found = answer_likelihoods(backbone, rows, tokens)
    for row, each in zip(rows, found, strict=True):
        expected = [
            (logits.log_softmax(-1)[token].item(), logits.argmax().item() == token)
            for at, token in enumerate(row.answer_ids)
            for logits in [next_logits(backbone, row, at)]
        ]
        assert each.logs == pytest.approx([log for log, _ in expected], abs=1e-4)
        assert each.best == tuple(best for _, best in expected)
    assert found[0].best[0] and not all(found[0].best)
