# pandas' own hints name types that most calls cannot return; to the checker it is untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
