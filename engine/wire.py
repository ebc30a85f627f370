"""Bytes to checked fields, for all endpoints: what JSON may look like, and how a field is asked for.

A Fields object remembers what was read from it; `done` refuses what nobody asked for, by name. So an option that
this host does not know is an error and never silently without effect. Messages name fields, types and limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

from engine.errors import BadRequest, RequestError

Json: TypeAlias = Any
"""A parsed JSON value: looked at before use."""
MAX_BODY_BYTES = 16 * 1024 * 1024


def parse_object(body: bytes) -> Fields:
    """A JSON object with unique keys and finite numbers, or BadRequest."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise BadRequest("invalid_json", "the body is not JSON with unique keys and finite numbers") from exc
    if not isinstance(value, dict):
        raise BadRequest("invalid_json", "the body is not a JSON object")
    return Fields(value)


def error_body(error: RequestError) -> dict[str, Any]:
    """OpenAI's error envelope."""
    return {"error": {"message": error.problem, "type": error.kind, "param": error.param, "code": error.code}}


@contextmanager
def blamed(param: str) -> Iterator[None]:
    """What is refused inside is that field's fault, where nothing nearer is named."""
    try:
        yield
    except BadRequest as exc:
        raise BadRequest(exc.code, exc.problem, exc.param or param) from exc


class Fields:
    """One JSON object being read."""

    def __init__(self, value: Mapping[str, Any], prefix: str = "") -> None:
        self._value, self._prefix = value, prefix
        self._asked: set[str] = set()

    def take(self, name: str) -> Json:
        """The raw value, or None when it is absent or null."""
        self._asked.add(name)
        return self._value.get(name)

    def name(self, name: str) -> str:
        """As an error names it."""
        return self._prefix + name

    def text(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            self.refuse(name, "expected a string")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(name, f"expected an integer {low} to {high}")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(name, f"expected a number {low:g} to {high:g}")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, "expected true or false")
        return value

    def neutral(self, name: str, *allowed: object) -> None:
        """An option that is accepted only where it changes nothing."""
        value = self.take(name)
        if value is not None and value not in allowed:
            told = f"`{self._prefix}{name}` is not supported in this version"
            raise BadRequest("unsupported_parameter", told, self._prefix + name)

    def ignored(self, *names: str) -> None:
        """Labels for the caller's own use that no model sees."""
        self._asked.update(names)

    def done(self) -> None:
        for name in sorted(set(self._value) - self._asked):
            # Half of a surrogate pair is no character that an answer could hold.
            shown = self._prefix + name[:64].encode(errors="replace").decode()
            raise BadRequest("unknown_parameter", f"unknown field `{shown}`", shown)

    def refuse(self, name: str, expected: str) -> NoReturn:
        raise BadRequest("invalid_parameter", f"`{self._prefix}{name}`: {expected}", self._prefix + name)


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("not a finite number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("repeated key")
    return value
