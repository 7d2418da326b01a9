"""Learning one skill: what comes out is what answers later, and a killed one comes out the same."""

from dataclasses import replace

import pytest
import torch

from amlora import files
from amlora.engine.encode import Row
from amlora.engine.train import NonFiniteLoss
from amlora.errors import InputError
from amlora.experiment.reporter import Silent
from amlora.experiment.stop import Interrupted, Stop
from amlora.methods.lora import LoRASettings, add_mixture
from amlora.mixture.layer import MixtureLinear
from amlora.mixture.reference import Combine
from amlora.skills.course import mean_loss
from amlora.skills.lesson import Used
from amlora.skills.settings import LearnSettings
from amlora.skills.train import RATES, train_skill
from trained import load_base, trained

ROWS = [Row("t", str(i), (1, 40 + i, 60), (90 + i % 2, 2), "x") for i in range(16)]
STOP = [Row("t", f"s{i}", (1, 60 + i, 60), (90 + i % 2, 2), "x") for i in range(8)]
SETTINGS = LearnSettings(lora=LoRASettings(rank=4, alpha=8.0), batch=4, lr=3e-2, epochs=4)
NOTHING = Used()


class Noting(Silent):
    """Keeps the lines that a reporter is told."""

    def __init__(self):
        self.lines: list[str] = []

    def note(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.lines.append(text)


class StopAfter(Silent):
    """Asks to stop at a step."""

    def __init__(self, stopper, at):
        self.stopper, self.at = stopper, at

    def step(self, step, steps, terms, tokens_per_second):
        self.stopper.asked = step >= self.at


def learn(backbone, work, *, used=NOTHING, settings=SETTINGS, rows=ROWS, stop=STOP, **given):
    return train_skill(
        backbone,
        name="new",
        used=used,
        rows=rows,
        stop=stop,
        settings=settings,
        work=work,
        reporter=given.get("reporter", Silent()),
        stopper=given.get("stopper", Stop()),
    )


def used_of(folder, *, combine: Combine = "sum"):
    """Two LoRAs that have something to say, of different ranks."""
    _, mixture = trained(folder, combine=combine)
    return Used.of(mixture, (0, 2))


def same(first, second):
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert (first.losses, first.steps, first.best) == (second.losses, second.steps, second.best)


def loaded(backbone, used, found, combine):
    """Put what was learned into a model as the second skill, among LoRAs that it does not use."""
    mixture = add_mixture(backbone, SETTINGS.lora, combine)
    mixture.control.gain = combine == "attention"
    count = len(used.names)
    tensors = {}
    for name, layer in mixture.layers.items():
        sizes = {"a": layer.bank.a.shape[1], "b": layer.bank.b.shape[1]}
        for stack, size in sizes.items():
            below = used.tensors.get(f"{name}.{stack}", torch.zeros(0, size))
            other, own = torch.rand(5, size), found.tensors[f"{name}.{stack}"]
            tensors[f"{name}.{stack}"] = torch.cat([below, other, own])
        tensors[f"{name}.w"] = torch.rand(count + 2, sizes["b"])
        own = found.tensors.get(f"{name}.kept", torch.zeros(0, sizes["b"]))
        tensors[f"{name}.kept"] = torch.cat([torch.rand(1, sizes["b"]), own])
    mixture.restore(
        [*used.names, "other", "new"],
        [*used.ranks, 5, found.rank],
        [*used.alphas, 4.0, found.alpha],
        tensors,
        stages=2 if combine == "attention" else 0,
        teams=[(count,), (*range(count), 1 + count)],
    )


def as_second(rows):
    return [replace(row, route=(0.0, 0.0, 1.0)) for row in rows]


@pytest.mark.parametrize("combine", ["sum", "attention"])
@pytest.mark.parametrize("uses", [False, True])
def test_what_was_learned_answers_as_it_did_at_its_best_look(any_folder, tmp_path, combine, uses):
    used = used_of(any_folder, combine=combine) if uses else NOTHING
    settings = SETTINGS.replace(combine=combine, patience=2)
    backbone = load_base(any_folder)
    found = learn(backbone, tmp_path, used=used, settings=settings)
    assert found.best > 0
    loaded(backbone, used, found, combine)
    stop_loss = {step: loss for step, _, loss in found.losses}
    assert mean_loss(backbone, as_second(STOP)) == stop_loss[found.best]


def test_learning_on_top_of_a_skill_leaves_its_numbers_alone(llama_folder, tmp_path):
    used = used_of(llama_folder)
    before = used.digest()
    learn(load_base(llama_folder), tmp_path, used=used)
    assert used.digest() == before


@pytest.mark.parametrize("combine", ["sum", "attention"])
def test_a_stopped_one_goes_on_to_the_same_bytes_from_any_step(llama_folder, tmp_path, combine):
    used = used_of(llama_folder, combine=combine)
    settings = SETTINGS.replace(combine=combine, epochs=2, patience=9)
    whole = learn(load_base(llama_folder), tmp_path / "whole", used=used, settings=settings)
    assert whole.steps == 8
    backbone = load_base(llama_folder)
    for at in range(1, whole.steps + 1):
        stopper = Stop()
        reporter = StopAfter(stopper, at)
        work = tmp_path / str(at)
        with pytest.raises(Interrupted):
            learn(backbone, work, used=used, settings=settings, reporter=reporter, stopper=stopper)
        same(learn(backbone, work, used=used, settings=settings), whole)


def test_a_finished_one_gives_the_same_again_without_a_step(any_folder, tmp_path):
    backbone = load_base(any_folder)
    whole = learn(backbone, tmp_path)
    stopper = Stop()
    again = learn(backbone, tmp_path, reporter=StopAfter(stopper, 0), stopper=stopper)
    same(again, whole)
    assert not stopper.asked


def test_the_weights_of_the_best_look_are_kept_and_learning_stops_after_it(llama_folder, tmp_path):
    wrong = [replace(row, answer_ids=(91 - i % 2, 2)) for i, row in enumerate(ROWS)]
    backbone = load_base(llama_folder)
    found = learn(backbone, tmp_path, stop=wrong, settings=SETTINGS.replace(epochs=50, patience=2))
    losses = {step: loss for step, _, loss in found.losses}
    assert losses[found.best] == min(losses.values())
    assert found.steps < found.planned
    assert sum(step > found.best for step in losses) == 2
    loaded(backbone, NOTHING, found, "sum")
    assert mean_loss(backbone, as_second(wrong)) == losses[found.best]


def test_a_number_of_steps_is_done_to_the_last_and_the_last_weights_are_kept(
    llama_folder, tmp_path
):
    wrong = [replace(row, answer_ids=(91 - i % 2, 2)) for i, row in enumerate(ROWS)]
    backbone = load_base(llama_folder)
    settings = SETTINGS.replace(steps=13, patience=1)
    found = learn(backbone, tmp_path, stop=wrong, settings=settings)
    assert (found.steps, found.best) == (13, 13)
    loaded(backbone, NOTHING, found, "sum")
    assert mean_loss(backbone, as_second(wrong)) == found.losses[-1][2]


def test_without_stop_rows_all_steps_are_done(llama_folder, tmp_path):
    found = learn(load_base(llama_folder), tmp_path, stop=[])
    assert (found.steps, found.best, found.losses) == (16, 16, [])


def test_on_a_cpu_the_tokens_that_are_read_have_a_limit(llama_folder, tmp_path):
    backbone = load_base(llama_folder)
    found = learn(backbone, tmp_path, stop=[], settings=SETTINGS.replace(train_tokens=45))
    assert found.steps == found.planned == 2  # of 4 rows of 5 tokens


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": SETTINGS.replace(lr=1e-3)}, "setting lr"),
        ({"rows": ROWS[:-1]}, "the rows"),
        ({"stop": STOP[:-1]}, "the rows"),
        ({"used": NOTHING}, "what it uses"),
    ],
)
def test_the_checkpoint_of_another_training_is_removed_and_said(
    llama_folder, tmp_path, change, said
):
    backbone, reporter, stopper = load_base(llama_folder), Noting(), Stop()
    used = used_of(llama_folder)
    with pytest.raises(Interrupted):
        given = {"reporter": StopAfter(stopper, 3), "stopper": stopper}
        learn(backbone, tmp_path / "work", used=used, **given)
    found = learn(backbone, tmp_path / "work", **{"used": used, "reporter": reporter, **change})
    assert "starts over" in reporter.lines[0] and said in reporter.lines[0]
    same(found, learn(backbone, tmp_path / "new", **{"used": used, **change}))


@pytest.mark.parametrize("name", ["state", "moments", "current"])
def test_a_damaged_checkpoint_is_removed_and_said(llama_folder, tmp_path, name):
    backbone, reporter, stopper = load_base(llama_folder), Noting(), Stop()
    with pytest.raises(Interrupted):
        learn(backbone, tmp_path, reporter=StopAfter(stopper, 3), stopper=stopper)
    path = next((tmp_path / "checkpoint").glob(f"{name}*"))
    path.write_bytes(path.read_bytes()[:-9])
    found = learn(backbone, tmp_path, reporter=reporter)
    assert "damaged" in reporter.lines[0] and path.name in reporter.lines[0]
    same(found, learn(backbone, tmp_path / "new"))


def test_going_on_with_another_number_of_threads_is_said(llama_folder, tmp_path):
    backbone, reporter, stopper = load_base(llama_folder), Noting(), Stop()
    with pytest.raises(Interrupted):
        learn(backbone, tmp_path, reporter=StopAfter(stopper, 3), stopper=stopper)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        learn(backbone, tmp_path, reporter=reporter)
    finally:
        torch.set_num_threads(threads)
    assert reporter.lines[0] == "new: goes on at step 3."
    assert f"threads {threads + 1} (was {threads})" in reporter.lines[1]


def test_the_model_is_as_it_was_afterwards_also_after_an_error(any_folder, tmp_path):
    backbone = load_base(any_folder)
    training = backbone.model.training
    used = replace(used_of(any_folder), ranks=[1, 1])
    with pytest.raises(InputError):
        learn(backbone, tmp_path, used=used)
    learn(backbone, tmp_path)
    assert not any(isinstance(each, MixtureLinear) for each in backbone.model.modules())
    assert backbone.model.training == training


def test_a_loss_that_is_not_finite_passes_on(llama_folder, tmp_path):
    backbone = load_base(llama_folder)
    with torch.no_grad():
        backbone.model.get_input_embeddings().get_parameter("weight")[60] = torch.nan
    with pytest.raises(NonFiniteLoss, match="stop nan"):
        learn(backbone, tmp_path)
    assert not any(isinstance(each, MixtureLinear) for each in backbone.model.modules())


def test_used_loras_of_other_layers_are_refused(llama_folder, tmp_path):
    settings = SETTINGS.replace(lora=LoRASettings(targets=("q_proj",)))
    with pytest.raises(InputError, match="v_proj is adapted"):
        learn(load_base(llama_folder), tmp_path, used=used_of(llama_folder), settings=settings)


def test_tuning_takes_the_rate_with_the_least_loss_and_learns_as_with_it_alone(
    llama_folder, tmp_path
):
    backbone = load_base(llama_folder)
    found = learn(backbone, tmp_path / "tuned", settings=SETTINGS.replace(tune=True))
    assert [each.lr for each in found.tried] == list(RATES)
    assert found.lr == min(found.tried, key=lambda each: each.loss or 0).lr
    alone = learn(backbone, tmp_path / "alone", settings=SETTINGS.replace(lr=found.lr))
    same(found, alone)


def test_tuning_that_was_stopped_goes_on_to_the_same(llama_folder, tmp_path):
    backbone, settings = load_base(llama_folder), SETTINGS.replace(tune=True)
    whole = learn(backbone, tmp_path / "whole", settings=settings)
    stopper = Stop()

    class StopInSecond(Silent):
        def stage_started(self, index, count, task, steps):
            stopper.asked = index == 2

    with pytest.raises(Interrupted):
        learn(
            backbone, tmp_path / "two", settings=settings, reporter=StopInSecond(), stopper=stopper
        )
    again = learn(backbone, tmp_path / "two", settings=settings)
    same(again, whole)
    assert again.tried == whole.tried


def test_nothing_of_the_rows_texts_is_in_the_checkpoint(llama_folder, tmp_path):
    learn(load_base(llama_folder), tmp_path)
    texts = b"".join(path.read_bytes() for path in (tmp_path / "checkpoint").iterdir())
    assert str(list(ROWS[0].prompt_ids)).encode() not in texts
    assert files.exists(tmp_path / "checkpoint")
