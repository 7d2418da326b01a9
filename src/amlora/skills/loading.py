"""How the base model under a folder's skills is loaded."""

from dataclasses import dataclass

from amlora.engine.settings import Device, ModelSettings, Precision
from amlora.mixture.manifest import Base


@dataclass(frozen=True)
class Loading:
    """How a base model is loaded; None and "auto" as in `amlora.load`."""

    base: str | None = None
    """Where it is, if not where the folder says."""
    device: Device = "auto"
    precision: Precision = "auto"
    trust_remote_code: bool = False

    def settings(self, known: Base) -> ModelSettings:
        """Return the settings of a folder's base model."""
        return ModelSettings(
            name=known.name if self.base is None else self.base,
            gguf_file=known.gguf_file if self.base is None else "",
            revision=known.revision if self.base is None else "",
            precision=self.precision,
            max_tokens=known.max_tokens,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
        )
