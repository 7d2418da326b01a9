"""The settings of a run: one TOML file (or dict) in, frozen structs out, and back again.

A file has the keys `name` and `seed` and the tables [model], [method], [stream], [train] and
[evaluate]. It holds only what differs from the defaults. Which settings [method] has depends on its
`name`. Every mistake is an InputError of one line that names the dotted path.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from amlora import files
from amlora.engine.settings import EvaluateSettings, ModelSettings, TrainSettings
from amlora.errors import InputError, nearest
from amlora.experiment.fields import convert, kind_at, mismatch, shown, unknown
from amlora.experiment.paths import MARK, anchor
from amlora.experiment.toml import lists, override, read_toml, write_toml
from amlora.methods import method_class, method_names
from amlora.streams.settings import StreamSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SEEDS = 2**32  # seeds are 0 .. SEEDS - 1, what every generator here admits
LATER = {
    "evaluate": {"general": "", "rule": "reference"},
    "method": {"feature_layers": 0, "term": "update"},
    "stream": {"boundaries": "told"},
    "train": {"micro_tokens": None},
}
"""Settings that came after the first records, with the defaults that mean what was done before."""


class MethodChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A method by name, with that method's own settings."""

    name: str
    """One of `amlora.methods.method_names()`."""
    settings: msgspec.Struct
    """An instance of `method_class(name).Settings`."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a run's result, apart from the data and the base model's weights."""

    name: str
    """Names the run's folder: letters, digits, dot, dash and underscore, at most 80."""
    seed: int = 0
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

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(
                f"name: {shown(self.name)} cannot name a folder; use letters, digits, '.', '-' and "
                "'_', at most 80, the first a letter or digit."
            )
        if not 0 <= self.seed < SEEDS:
            raise InputError(f"seed: expected 0 to {SEEDS - 1}, got {self.seed}.")


def load_settings(
    path: Path, overrides: Sequence[str] = (), method: str | None = None
) -> RunSettings:
    """Read a settings file; a file without `name` is named after the file.

    Args:
        path: a TOML file; its paths start from its folder (`paths.py`).
        overrides: "dotted.path=value" each, applied in order; the value is TOML, else plain text.
        method: replaces the whole [method] table by this method with its defaults.

    Raises:
        InputError: no TOML file (with the line), or a wrong setting (with its path).
    """
    raw = read_toml(path, follow=True)
    raw.setdefault("name", path.stem)
    if method is not None:
        raw["method"] = {"name": method}
    for text in overrides:
        override(raw, text, kind_of_setting)
    if not files.read_bytes(path, follow=True).startswith(MARK.encode()):
        given = [text.partition("=")[0] for text in overrides]
        anchor(raw, path.parent, given=given)
    return settings_from(raw)


def settings_from(raw: Mapping[str, Any]) -> RunSettings:
    """Make settings of a plain dict, as `load_settings` does of a file; the same mistakes raise."""
    if not isinstance(raw, Mapping):
        raise InputError(f"settings: expected a table, got {shown(raw)}.")
    allowed = [field.encode_name for field in msgspec.structs.fields(RunSettings)]
    for key in raw:
        if key not in allowed:
            raise unknown(str(key), str(key), allowed)
    for key in ("name", "method", "stream"):
        if key not in raw:
            raise InputError(f"{key} is missing; a run needs a name, a [method] and a [stream].")
    name, seed = raw["name"], raw.get("seed", 0)
    if not isinstance(name, str):
        raise mismatch(name, inspect.StrType(), "name")
    if type(seed) is not int:
        raise mismatch(seed, inspect.IntType(), "seed")
    return RunSettings(
        name=name,
        seed=seed,
        model=convert(raw.get("model", {}), ModelSettings, "model"),
        method=method_from(raw["method"]),
        stream=convert(raw["stream"], StreamSettings, "stream"),
        train=convert(raw.get("train", {}), TrainSettings, "train"),
        evaluate=convert(raw.get("evaluate", {}), EvaluateSettings, "evaluate"),
    )


def method_from(raw: object) -> MethodChoice:
    """Make the [method] table's struct: `name` picks the method, the rest are its settings."""
    if isinstance(raw, MethodChoice):
        raw = {"name": raw.name, **msgspec.structs.asdict(raw.settings)}
    if not isinstance(raw, Mapping):
        raise InputError(f"method: expected a table with a name, got {shown(raw)}.")
    known = method_names()
    if "name" not in raw:
        raise InputError(f"method.name is missing; give one of {', '.join(known)}.")
    name = raw["name"]
    if not isinstance(name, str) or name not in known:
        close = nearest(str(name), known) or f"; methods: {', '.join(known)}."
        raise InputError(f"method.name: unknown method {shown(name)}{close}")
    table = {key: value for key, value in raw.items() if key != "name"}
    for key in table.keys() - setting_names(name):
        if having := [other for other in known if key in setting_names(other)]:
            verb = "has" if len(having) == 1 else "have"
            raise InputError(
                f"method.{key}: {name} has no such setting; {', '.join(having)} {verb}."
            )
    return MethodChoice(name=name, settings=convert(table, method_class(name).Settings, "method"))


def setting_names(method: str) -> set[str]:
    """Return the names of a method's own settings."""
    return {field.encode_name for field in msgspec.structs.fields(method_class(method).Settings)}


def resolved(settings: RunSettings) -> dict[str, Any]:
    """Return every setting, defaults included, as plain dicts, lists, strings and numbers."""
    plain: dict[str, Any] = {}
    for field in msgspec.structs.fields(RunSettings):
        value = getattr(settings, field.name)
        if isinstance(value, MethodChoice):
            plain[field.name] = {"name": value.name, **flat(value.settings)}
        else:
            plain[field.name] = flat(value)
    return plain


def recorded(settings: RunSettings) -> dict[str, Any]:
    """Return what decides a run and names it: every setting but later ones that are not used.

    So records, names of runs and cells of grids stay what they were before there were these.
    """
    plain = resolved(settings)
    for section, later in LATER.items():
        for name, default in later.items():
            if plain[section].get(name) == default:
                del plain[section][name]
    if "boundaries" not in plain["stream"]:
        del plain["stream"]["detection"]
    return plain


def flat(value: object) -> Any:
    """Turn a struct into plain values, tuples into lists."""
    return lists(msgspec.to_builtins(value))


def settings_digest(settings: RunSettings) -> str:
    """Return the sha256 of all settings that decide a run."""
    return files.digest(recorded(settings))


def to_toml(settings: RunSettings) -> str:
    """Write every setting as TOML that `load_settings` reads back to equal settings."""
    return MARK + write_toml(resolved(settings))


def kind_of_setting(raw: Mapping[str, Any], steps: Sequence[str]) -> inspect.Type | None:
    """Return what kind of value a setting takes, or None when there is no such setting."""
    sections = {
        "model": ModelSettings,
        "stream": StreamSettings,
        "train": TrainSettings,
        "evaluate": EvaluateSettings,
    }
    section, *rest = steps
    if section == "name" or list(steps) == ["method", "name"]:
        return inspect.StrType()
    if section == "method" and isinstance(table := raw.get("method"), Mapping):
        name = table.get("name")
        if not isinstance(name, str) or name not in method_names():
            return None
        return kind_at(inspect.type_info(method_class(name).Settings), rest)
    return kind_at(inspect.type_info(sections[section]), rest) if section in sections else None
