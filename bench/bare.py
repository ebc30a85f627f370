"""For machines that have torch and little else: modules that the engine imports and a measurement does without.

What is missing is stood in for by something that takes every call and does nothing, so nothing may be measured or
checked that needs it. With the project installed this changes nothing.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

LOG: Final = ("structlog", "structlog.typing")
GRAMMARS: Final = ("llguidance",)


class Nothing(ModuleType):
    """Has everything, and it is nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_given: object, **_named: object) -> Nothing:
        return self


def stand_in(*names: str) -> list[str]:
    """Those that had to be stood in for. A module before what is inside it."""
    missing = [name for name in names if name.partition(".")[0] not in sys.modules and not _is_there(name)]
    for name in missing:
        sys.modules[name] = Nothing(name)
    return missing


def _is_there(name: str) -> bool:
    return find_spec(name.partition(".")[0]) is not None


stand_in(*LOG)
