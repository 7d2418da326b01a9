"""Turn settings into what a run works with: tasks, model, method, encoded rows, stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amlora.engine.backbone import Backbone, positions
from amlora.engine.encode import Row
from amlora.engine.load import load_backbone
from amlora.errors import InputError
from amlora.evaluate.course import Course, at_once, one_by_one
from amlora.evaluate.lost import Lost
from amlora.experiment.borders import check_method, find_stages, plan_stages
from amlora.experiment.general import General, general_rows, read_texts
from amlora.experiment.settings import RunSettings, resolved
from amlora.experiment.texts import encode_stream, lost_warnings, with_room
from amlora.files import digest
from amlora.methods import method_class
from amlora.methods.base import Method, Stage
from amlora.mixture.inject import adapted_projections
from amlora.records.schema import Adapted, Identity, Model, TaskFacts
from amlora.streams.check import find_unscored
from amlora.streams.load import load_stream
from amlora.streams.task import Task, TaskStream, majority


@dataclass
class Prepared:
    """A run before its first step."""

    settings: RunSettings
    """With "auto" values resolved."""
    written: RunSettings
    """As they were given."""
    stream: TaskStream
    warnings: list[str]
    """What is changed or left out by nobody's wish, and what the data's checks had to say."""
    backbone: Backbone
    """`method` may have wrapped some of its layers."""
    method: Method
    """Ready for its first `begin`."""
    stages: list[Stage]
    course: Course
    """Which stage learns each task."""
    scored: list[list[Row]]
    """By task."""
    general: General | None
    identity: Identity
    """Everything that decides the result."""


def prepare(settings: RunSettings) -> Prepared:
    """Load and check everything a run needs.

    Raises:
        InputError: whatever is wrong with settings, data or model, in one line.
    """
    written, chosen = settings, method_class(settings.method.name)
    check_method(settings)
    stream, warnings = load_stream(settings.stream)
    if settings.evaluate.rule == "reference":
        warnings += [line for task in stream.tasks for line in find_unscored(task)]
    check_per_task(settings, stream)
    texts = read_texts(settings.evaluate.general)
    backbone = load_backbone(
        settings.model, frozen=not chosen.trains_base(settings.method.settings)
    )
    # So that a record says what was computed.
    model = settings.model.replace(
        precision=str(backbone.precision).removeprefix("torch."),
        attention=backbone.model.config._attn_implementation or "eager",
        device=backbone.model.device.type,
    )
    settings = settings.replace(model=model)
    encoded = encode_stream(settings, stream, backbone)
    train, scored = encoded.train, encoded.scored
    general = general_rows(backbone, *texts) if texts else None
    warnings += lost_warnings(encoded, stream, general, settings)
    settings, raised = with_room(settings, backbone, stream.tasks, scored)
    warnings += raised
    parameters = sum(weight.numel() for weight in backbone.model.parameters())
    plain = resolved(settings)
    method = chosen(backbone, settings.method.settings, seed=settings.seed)
    unrelated = [general.passages, general.questions] if general else []
    read = [*train, *scored, *unrelated]
    check_room(backbone, read, settings, method.soft_tokens(len(stream.tasks)))
    boundaries = None
    if settings.stream.boundaries == "found":
        stages, boundaries = find_stages(settings, stream.tasks, train, backbone)
        course = boundaries.course
    else:
        joint = chosen.schedule == "joint"
        stages = plan_stages(settings, stream.tasks, train, joint=joint)
        course = (at_once if joint else one_by_one)(len(stream.tasks))
    identity = Identity(
        name=settings.name,
        seed=settings.seed,
        method=settings.method.name,
        method_version=chosen.version,
        settings=plain,
        settings_digest=digest(plain),
        stream_digest=stream.digest(),
        model=Model(
            name=backbone.name,
            family=backbone.family,
            type=backbone.model.config.model_type,
            revision=backbone.revision,
            fingerprint=backbone.fingerprint,
            parameters=parameters,
        ),
        tasks=tuple(
            task_facts(task, settings.evaluate.split, lost)
            for task, lost in zip(stream.tasks, encoded.lost, strict=True)
        ),
        tokens_digest=tokens_digest([*train, *scored], backbone),
        general_digest=general.digest if general else None,
        boundaries=boundaries,
        adapted=Adapted.model_validate(adapted_projections(backbone.model)),
    )
    return Prepared(
        settings=settings,
        written=written,
        stream=stream,
        warnings=warnings,
        backbone=backbone,
        method=method,
        stages=stages,
        course=course,
        scored=scored,
        general=general,
        identity=identity,
    )


def task_facts(task: Task, split: str, lost: Mapping[str, Lost]) -> TaskFacts:
    """Return what a record says of a task, of which one split is scored."""
    scored = task.test if split == "test" else task.dev
    return TaskFacts(
        name=task.name,
        category=task.category,
        options=task.options,
        majority=majority(scored),
        scored=len(scored),
        digest=task.digest(),
        train=len(task.train),
        dev=len(task.dev),
        test=len(task.test),
        lost=dict(lost),
    )


def tokens_digest(rows: Sequence[Sequence[Row]], backbone: Backbone) -> str:
    """Return the hash of what the model reads and writes: every row's ids, and the end tokens."""
    ids = [[row.prompt_ids, row.answer_ids] for task_rows in rows for row in task_rows]
    return digest([ids, sorted(backbone.end_ids)])


def check_room(
    backbone: Backbone, rows: Sequence[Sequence[Row]], settings: RunSettings, soft: int
) -> None:
    """Refuse rows that, with `soft` vectors and the answer, need more positions than there are.

    Relative positions have no limit.
    """
    limit = positions(backbone.model.config)
    if limit is None:
        return
    for row in (row for task_rows in rows for row in task_rows):
        read, written = soft + len(row.prompt_ids), settings.evaluate.max_new_tokens
        written = max(written, len(row.answer_ids))
        needed = read + written if backbone.family == "decoder-only" else max(read, written)
        if needed > limit:
            vectors = f" with {soft} soft vectors" if soft else ""
            raise InputError(
                f"model.max_tokens is {settings.model.max_tokens}: row {row.row} of {row.task}"
                f"{vectors} and an answer of up to {written} tokens need {needed} positions; the"
                f" model has {limit}."
            )


def check_per_task(settings: RunSettings, stream: TaskStream) -> None:
    """Refuse settings that are given one per task for another number of tasks."""
    for key in method_class(settings.method.name).per_task:
        value = getattr(settings.method.settings, key)
        if not isinstance(value, tuple):
            continue
        if settings.stream.boundaries == "found":
            raise InputError(
                f"method.{key} has one number per task, but with found borders nobody knows how"
                " many stages there will be; give one number."
            )
        if len(value) != len(stream.tasks):
            raise InputError(
                f"stream {stream.name!r} has {len(stream.tasks)} tasks but method.{key} has"
                f" {len(value)} values; give one number, or one per task."
            )
