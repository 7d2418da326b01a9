"""Teach a language model one task after another with an attentional mixture of LoRAs.

`Skills` is a folder of skills: learn another, compare, publish, ask. `load` and `save` are the way
in and out of one; `results` reads runs into a data frame.
Importing the package is light: the model libraries and pandas are imported when first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command's first moments pass before `typing` is imported
    from amlora.records.frames import results
    from amlora.skills.load import load, save
    from amlora.skills.skills import Skills

    __version__: str

__all__ = ["Skills", "__version__", "load", "results", "save"]

PLACES = {
    "Skills": "amlora.skills.skills",
    "load": "amlora.skills.load",
    "results": "amlora.records.frames",
    "save": "amlora.skills.load",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("amlora")
    if name in PLACES:
        from importlib import import_module

        return vars(import_module(PLACES[name]))[name]
    raise AttributeError(f"module 'amlora' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
