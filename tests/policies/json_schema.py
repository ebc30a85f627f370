"""As much of JSON Schema (draft 2020-12) as the policy schema says, for tests. An unknown keyword is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}
_NOTES = ("$schema", "title", "$defs")


class Schema:
    """A schema with its definitions."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._top = schema

    def accepts(self, value: Any, schema: Any = None) -> bool:
        schema = self._top if schema is None else schema
        if isinstance(schema, bool):
            return schema
        return all(self._holds(word, said, schema, value) for word, said in schema.items() if word not in _NOTES)

    def _holds(self, word: str, said: Any, schema: dict[str, Any], value: Any) -> bool:
        check = getattr(self, "_" + word.removeprefix("$"), None)
        assert check is not None, f"keyword `{word}`"
        return bool(check(said, schema, value))

    def _ref(self, said: str, _schema: Any, value: Any) -> bool:
        return self.accepts(value, self._top["$defs"][said.removeprefix("#/$defs/")])

    def _type(self, said: str, _schema: Any, value: Any) -> bool:
        return _TYPES[said](value)

    def _const(self, said: Any, _schema: Any, value: Any) -> bool:
        return type(said) is type(value) and said == value

    def _enum(self, said: list[Any], schema: Any, value: Any) -> bool:
        return any(self._const(one, schema, value) for one in said)

    def _anyOf(self, said: list[Any], _schema: Any, value: Any) -> bool:
        return any(self.accepts(value, one) for one in said)

    def _pattern(self, said: str, _schema: Any, value: Any) -> bool:
        return not isinstance(value, str) or re.search(said, value) is not None

    def _minLength(self, said: int, _schema: Any, value: Any) -> bool:
        return not isinstance(value, str) or len(value) >= said

    def _maxLength(self, said: int, _schema: Any, value: Any) -> bool:
        return not isinstance(value, str) or len(value) <= said

    def _minimum(self, said: int, _schema: Any, value: Any) -> bool:
        return not _TYPES["number"](value) or value >= said

    def _maximum(self, said: int, _schema: Any, value: Any) -> bool:
        return not _TYPES["number"](value) or value <= said

    def _properties(self, said: dict[str, Any], _schema: Any, value: Any) -> bool:
        return not isinstance(value, dict) or all(
            self.accepts(value[key], one) for key, one in said.items() if key in value
        )

    def _required(self, said: list[str], _schema: Any, value: Any) -> bool:
        return not isinstance(value, dict) or set(said) <= value.keys()

    def _additionalProperties(self, said: Any, schema: Any, value: Any) -> bool:
        own = schema.get("properties", {})
        return not isinstance(value, dict) or all(
            self.accepts(one, said) for key, one in value.items() if key not in own
        )

    def _propertyNames(self, said: Any, _schema: Any, value: Any) -> bool:
        return not isinstance(value, dict) or all(self.accepts(key, said) for key in value)

    def _maxProperties(self, said: int, _schema: Any, value: Any) -> bool:
        return not isinstance(value, dict) or len(value) <= said

    def _minProperties(self, said: int, _schema: Any, value: Any) -> bool:
        return not isinstance(value, dict) or len(value) >= said

    def _items(self, said: Any, _schema: Any, value: Any) -> bool:
        return not isinstance(value, list) or all(self.accepts(one, said) for one in value)

    def _minItems(self, said: int, _schema: Any, value: Any) -> bool:
        return not isinstance(value, list) or len(value) >= said

    def _maxItems(self, said: int, _schema: Any, value: Any) -> bool:
        return not isinstance(value, list) or len(value) <= said

    def _uniqueItems(self, _said: bool, _schema: Any, value: Any) -> bool:
        return not isinstance(value, list) or len({repr(one) for one in value}) == len(value)
