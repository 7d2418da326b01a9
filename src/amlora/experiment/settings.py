"""The settings of a run: one TOML file (or dict) in, frozen settings out, and back again.

A file has the keys `name` and `seed` and the tables [model], [method], [stream], [train] and
[evaluate]. It holds only what differs from the defaults. Which settings [method] has depends on its
`name`. Every mistake is an InputError of one line that names the dotted path.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import (
    Field,
    SerializationInfo,
    SerializeAsAny,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema

from amlora.engine.settings import EvaluateSettings, ModelSettings, TrainSettings
from amlora.errors import nearest
from amlora.experiment.toml import MARK, override, read_anchored, without_none, write_toml
from amlora.methods import method_class, method_names
from amlora.settings import NONE, Settings, WrongSetting, follow, is_text, shown
from amlora.streams.settings import StreamSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SEEDS = 2**32  # seeds are 0 .. SEEDS - 1, what every generator here admits


class MethodChoice(Settings):
    """A method by name, with that method's own settings."""

    name: str
    """One of `amlora.methods.method_names()`."""
    settings: SerializeAsAny[Settings]
    """An instance of `method_class(name).Settings`."""

    @model_validator(mode="before")
    @classmethod
    def by_name(cls, table: Any) -> Any:
        """Make the settings of what stands beside the name."""
        if not isinstance(table, Mapping) or isinstance(table.get("settings"), Settings):
            return table
        known, name = method_names(), table.get("name")
        if name is None:
            raise WrongSetting(("name",), f" is missing; give one of {', '.join(known)}.")
        if name not in known:
            close = nearest(str(name), known) or f"; methods: {', '.join(known)}."
            raise WrongSetting(("name",), f": unknown method {shown(name)}{close}")
        own = {key: value for key, value in table.items() if key != "name"}
        for key in own.keys() - method_class(name).Settings.model_fields.keys():
            if having := [m for m in known if key in method_class(m).Settings.model_fields]:
                verb = "has" if len(having) == 1 else "have"
                others = f"{', '.join(having)} {verb}"
                raise WrongSetting((key,), f": {name} has no such setting; {others}.")
        return {"name": name, "settings": method_class(name).Settings(**own)}

    @model_serializer
    def flat(self, info: SerializationInfo) -> dict[str, Any]:
        """Return the [method] table."""
        defaults = bool(info.exclude_defaults)
        return {
            "name": self.name,
            **self.settings.model_dump(mode=info.mode, exclude_defaults=defaults),
        }


class RunSettings(Settings):
    """Everything that decides a run's result, apart from the data and the base model's weights."""

    name: str
    """Names the run's folder: letters, digits, dot, dash and underscore, at most 80."""
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0
    """Decides every random choice of the run; 0 to 2**32 - 1."""
    model: ModelSettings = ModelSettings()
    """The base model and how to load it."""
    method: MethodChoice
    """The method that learns, and its settings."""
    stream: StreamSettings
    """The tasks, their order, and how many rows of each."""
    train: TrainSettings = TrainSettings()
    """The training loop."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """How answers are scored."""

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        """Refuse what cannot name a folder."""
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{shown(name)} cannot name a folder; use letters, digits, '.', '-' and '_', at"
                " most 80, the first a letter or digit."
            )
        return name


def load_settings(
    path: str | Path, overrides: Sequence[str] = (), method: str | None = None
) -> RunSettings:
    """Read a settings file; a file without `name` is named after the file.

    Args:
        path: a TOML file; its paths start from its folder (`toml.py`).
        overrides: "dotted.path=value" each, applied in order; the value is TOML, else plain text.
            Their paths start from the working directory.
        method: replaces the whole [method] table by this method with its defaults.

    Raises:
        InputError: no TOML file (with the line), or a wrong setting (with its path).
    """
    path = Path(path)
    rooted = any(text.startswith("stream.data_root") for text in overrides)
    raw = {"name": path.stem, **read_anchored(path, rooted=rooted)}
    if method is not None:
        raw["method"] = {"name": method}
    for text in overrides:
        override(raw, text, only_text)
    return settings_from(raw)


def settings_from(raw: Mapping[str, Any]) -> RunSettings:
    """Make settings of a plain dict, as `load_settings` does of a file; the same mistakes raise."""
    return RunSettings.of(raw)


def resolved(settings: RunSettings) -> dict[str, Any]:
    """Return every setting, defaults included, as plain dicts, lists, strings and numbers."""
    return settings.model_dump(mode="json")


def to_toml(settings: RunSettings) -> str:
    """Write every setting as TOML that `load_settings` reads back to equal settings."""
    return MARK + write_toml(resolved(settings))


def schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file; [method] holds the settings of the one named."""
    names: Any = {name: (Literal[name], ...) for name in method_names()}
    methods = [
        create_model(name, __base__=method_class(name).Settings, name=names[name]) for name in names
    ]
    method: Any = Annotated[Union[*methods], Field(discriminator="name", description="The method.")]
    file = create_model("amlora", __base__=RunSettings, name=(str, ""), method=(method, ...))
    return without_none(file.model_json_schema(schema_generator=SchemaOfTOML))


class SchemaOfTOML(GenerateJsonSchema):
    """A schema in which "none" stands for what TOML lacks."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return {"anyOf": [self.generate_inner(schema["schema"]), {"const": NONE}]}


def only_text(raw: Mapping[str, Any], steps: Sequence[str]) -> bool:
    """Tell whether a setting takes text alone."""
    kind: Any = RunSettings
    if steps[0] == "method" and len(steps) > 1 and steps[1] != "name":
        table = raw.get("method")
        name = table.get("name") if isinstance(table, Mapping) else None
        if name not in method_names():
            return False
        kind, steps = method_class(name).Settings, steps[1:]
    path, kind, _ = follow(kind, steps)
    return len(path) == len(steps) and is_text(kind)
