"""What a model's JSON file states, read by key: a value is there and of its kind, or a refusal names the key.

Such files are written by many hands. A value that is missing, of another type, no finite number or beyond all measure
ends the host with the key, what was found and what was expected, instead of an error of Python further in: that would
look as if starting the host again could help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from engine.errors import ModelRefused

Raw: TypeAlias = Mapping[str, Any]
"""A JSON object, its values not looked at yet."""
MOST: Final = 2**31 - 1
"""No size of a model is larger, and no number of positions."""
SHOWN: Final = 40
"""Characters of a value that a message repeats."""


def wrong(key: str, found: object, expected: str) -> ModelRefused:
    """The refusal of a value that config.json, or a file beside it, has."""
    told = str(found)
    shown = told if len(told) <= SHOWN else told[:SHOWN] + "…"
    return ModelRefused("config_invalid", f"`{key}` is {shown}, expected {expected}")


class Stated:
    """One JSON object. `null` is what is not stated, but where a key's absence means something else."""

    def __init__(self, raw: object, name: str = "") -> None:
        """`name`: the key that the object stands under, if any; ModelRefused when it is none."""
        if not isinstance(raw, Mapping):
            raise wrong(name or "config.json", raw, "a JSON object")
        self.raw: Raw = raw
        self._prefix = name + "." if name else ""

    def name(self, key: str) -> str:
        """The key as a message has it."""
        return self._prefix + key

    def is_null(self, key: str) -> bool:
        """Whether it is stated as `null`."""
        return key in self.raw and self.raw[key] is None

    def whole(self, key: str, default: int | None = None, low: int = 1, high: int = MOST) -> int:
        """A whole number from `low` to `high`; without a default it has to be there."""
        found = self.raw.get(key)
        if found is None and default is not None:
            return default
        return self._whole(key, found, low, high)

    def wholes(self, key: str, low: int, high: int) -> list[int] | None:
        """A list of them; None: not stated."""
        found = self.raw.get(key)
        if found is None:
            return None
        if not isinstance(found, list):
            raise wrong(self.name(key), found, f"a list of whole numbers {low} to {high}")
        return [self._whole(key, one, low, high) for one in found]

    def number(self, key: str, default: float | None = None, low: float = -math.inf, is_above: bool = False) -> float:
        """A finite number, at least `low`, or above it."""
        found = self.raw.get(key)
        if found is None and default is not None:
            return default
        value = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else math.nan
        if not math.isfinite(value) or value < low or (is_above and value == low):
            bound = f" {'above' if is_above else 'of at least'} {low:g}" if low > -math.inf else ""
            raise wrong(self.name(key), found, f"a finite number{bound}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Older files have numbers for some. `null` is false, as in transformers."""
        found = self.raw.get(key, default)
        if not isinstance(found, bool | int | None):
            raise wrong(self.name(key), found, "true or false")
        return bool(found)

    def part(self, key: str) -> Stated:
        """The object under that key; an empty one where nothing is stated."""
        return Stated(self.raw.get(key) or {}, self.name(key))

    def _whole(self, key: str, found: object, low: int, high: int) -> int:
        # 1e4 is a float to JSON's reader and a whole number to whoever wrote it; true is neither.
        value = int(found) if isinstance(found, float) and found.is_integer() else found
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise wrong(self.name(key), found, f"a whole number {low} to {high}")
        return value
