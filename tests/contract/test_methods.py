"""What every method must do, whatever it is, on both families."""

import torch

from amlora.engine.train import Progress, TrainSettings, train_stage
from amlora.experiment.prepare import prepare
from amlora.methods import method_class
from amlora.methods.base import Stage
from amlora.mixture.layer import MixtureLinear


def learn(made, accelerator, stage, *, steps=None, lr=1e-2):
    """Begin and train one stage; return the losses."""
    stage = Stage(stage.index, stage.task, stage.rows, steps or stage.steps)
    made.method.begin(stage)
    progress = Progress()
    settings = TrainSettings(lr=lr, batch=4)
    train_stage(made.method, stage, settings, accelerator, progress, lambda *_: None)
    return progress.losses


def test_the_loss_falls_on_a_task_that_can_be_memorised(settings, accelerator):
    made = prepare(settings)
    losses = learn(made, accelerator, made.stages[0], steps=30)
    assert sum(losses[-4:]) < 0.6 * sum(losses[:4])


def test_only_declared_parameters_move(settings, accelerator):
    made = prepare(settings)
    model = made.backbone.model
    stage = made.stages[0]
    made.method.begin(stage)
    declared = {
        weight.data_ptr() for group in made.method.parameters() for weight in group.parameters
    }
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    others = {n: t.detach().clone() for n, t in tensors.items() if not holds(t, declared)}
    progress = Progress()
    train = TrainSettings(lr=1e-2, batch=4)
    train_stage(made.method, stage, train, accelerator, progress, lambda *_: None)
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    moved = [name for name, old in others.items() if not torch.equal(old, after[name])]
    assert moved == []


def holds(tensor, pointers):
    """Tell whether a tensor's memory holds one of some addresses."""
    first = tensor.data_ptr()
    return any(first <= p < first + tensor.nbytes or p == first for p in pointers)


def test_declared_parameters_do_move(settings, accelerator):
    made = prepare(settings)
    made.method.begin(made.stages[0])
    before = [w.detach().clone() for g in made.method.parameters() for w in g.parameters]
    stage, progress = made.stages[0], Progress()
    train = TrainSettings(lr=1e-2, batch=4)
    train_stage(made.method, stage, train, accelerator, progress, lambda *_: None)
    after = [w for g in made.method.parameters() for w in g.parameters]
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_earlier_loras_stay_bit_identical_while_a_later_task_is_learned(settings, accelerator):
    made = prepare(settings)
    chosen = method_class(settings.method.name)
    learn(made, accelerator, made.stages[0])
    made.method.end(made.stages[0])
    layers = [m for m in made.backbone.model.modules() if isinstance(m, MixtureLinear)]
    grows = layers and settings.method.name != "sin_lora"
    old = [[stack.clone() for stack in layer.bank.stacks()[:2]] for layer in layers]
    frozen = {n: p.detach().clone() for n, p in made.backbone.model.named_parameters()}
    learn(made, accelerator, made.stages[1])
    if grows:
        for layer, stacks in zip(layers, old, strict=True):
            for before, after in zip(stacks, layer.bank.stacks(), strict=False):
                assert torch.equal(before, after[: len(before)])
                assert len(after) > len(before)
    if not chosen.trains_base(settings.method.settings):
        now = dict(made.backbone.model.named_parameters())
        kept = [name for name in frozen if not name.rsplit(".", 1)[-1].endswith("_tail")]
        assert kept and all(torch.equal(frozen[name], now[name]) for name in kept)


def test_a_stage_gives_a_method_no_way_to_later_tasks(settings):
    made = prepare(settings)
    first = made.stages[0]
    assert {row.task for row in first.rows} == {first.task}
    fields = {"index", "task", "rows", "steps", "sources", "prefix", "form"}
    assert set(first.__dict__) == fields
    assert not any(source.dev or source.test for source in first.sources)
    assert {source.name for source in first.sources} == {first.task}


def test_restored_state_gives_the_same_answers(settings, accelerator):
    made, other = prepare(settings), prepare(settings)
    learn(made, accelerator, made.stages[0])
    made.method.end(made.stages[0])
    state = made.method.state()
    other.method.restore(state)
    assert torch.equal(logits(made), logits(other))


def logits(made):
    """Return the logits of a few rows."""
    from amlora.engine.batch import collate, target_logits

    made.backbone.model.eval()
    batch = collate(made.scored[0][:3], made.backbone, share=1.0)
    with torch.inference_mode():
        return target_logits(made.backbone, batch)
