"""Typed values out of a JSON object of a scores file, each of the kind that is asked for or a ValueError that names it.

Text has to be printable: it goes to a terminal and into a page, and a scores file may come from anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from gateway.evaluate.rows import kind_of
from gateway.jsonstrict import Json
from guards.verdict import PPM

_T = TypeVar("_T")


class Fields:
    """The values of an object, each of the type that is asked for. ValueError names the field."""

    def __init__(self, values: Mapping[str, Json]) -> None:
        self._values = values

    def _get(self, key: str, is_right: Callable[[Json], bool], expected: str) -> Json:
        value = self._values.get(key)
        if key not in self._values or not is_right(value):
            found = kind_of(value) if key in self._values else "missing"
            raise ValueError(f"`{key}` is {found}, expected {expected}")
        return value

    def has(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        return str(self._get(key, lambda value: isinstance(value, str) and value.isprintable(), "printable text"))

    def count(self, key: str) -> int:
        value = self._get(key, lambda value: type(value) is int and value >= 0, "a whole number of at least 0")
        assert isinstance(value, int)
        return value

    def ppm(self, key: str) -> int:
        value = self.count(key)
        if value > PPM:
            raise ValueError(f"`{key}` is above {PPM}")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._get(key, lambda value: value in (True, False, 0, 1), "true, false, 0 or 1"))

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key, lambda value: isinstance(value, list), "a list of printable texts")
        assert isinstance(value, list)
        if not all(isinstance(item, str) and item.isprintable() for item in value):
            raise ValueError(f"`{key}` is not a list of printable texts")
        return tuple(map(str, value))

    def object(self, key: str) -> Fields:
        value = self._get(key, lambda value: isinstance(value, dict), "an object")
        assert isinstance(value, dict)
        return Fields(value)

    def objects(self, key: str) -> list[Fields]:
        value = self._get(key, lambda value: isinstance(value, list), "a list of objects")
        assert isinstance(value, list)
        if not all(isinstance(item, dict) for item in value):
            raise ValueError(f"`{key}` is not a list of objects")
        return [Fields(item) for item in value if isinstance(item, dict)]

    def each(self, read: Callable[[Fields, str], _T]) -> Mapping[str, _T]:
        """Every value by its key, all read alike."""
        if not all(key.isprintable() for key in self._values):
            raise ValueError("a name is not printable")
        return MappingProxyType({key: read(self, key) for key in self._values})
