"""Teach a language model one task after another with an attentional mixture of LoRAs.

`load` and `save` are the way in and out of a skills folder. Importing the package is light; what
needs the model libraries imports them when it is first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command's first moments pass before `typing` is imported
    from amlora.skills.load import load, save

    __version__: str

__all__ = ["__version__", "load", "save"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("amlora")
    if name in __all__:
        from importlib import import_module

        return vars(import_module("amlora.skills.load"))[name]
    raise AttributeError(f"module 'amlora' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
