"""A drawing on the page and what stands above it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of several drawings side by side."""

    title: str
    svg: "Markup"
