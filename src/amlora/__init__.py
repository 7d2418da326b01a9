"""Teach a language model one task after another with an attentional mixture of LoRAs.

`load` and `save` are the way in and out of a skills folder; `results` reads runs into a data frame.
Importing the package is light: the model libraries and pandas are imported when first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command's first moments pass before `typing` is imported
    from amlora.records.frames import results
    from amlora.skills.load import load, save

    __version__: str

__all__ = ["__version__", "load", "results", "save"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("amlora")
    if name in __all__:
        from importlib import import_module

        module = "amlora.records.frames" if name == "results" else "amlora.skills.load"
        return vars(import_module(module))[name]
    raise AttributeError(f"module 'amlora' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
