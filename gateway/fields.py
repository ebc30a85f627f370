"""Readers for single fields of a request: a JSON value in, a checked value out, or BadRequest with the field's name.

A reader returns what will be forwarded, so nothing unchecked can reach the model server by being forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, TypeAlias

from gateway.errors import BadRequest
from gateway.jsonstrict import Json, name_of

Reader: TypeAlias = Callable[[Json, str], Json]
"""(value, field name for messages) -> the value to forward."""

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
INT64: Final = 2**63


def wrong(where: str, expected: str) -> NoReturn:
    """Refuse a field by name. The value is never part of the message."""
    raise BadRequest("invalid_value", f"`{where}` must be {expected}", where)


def known_keys(value: Json, where: str, allowed: Mapping[str, object]) -> dict[str, Json]:
    """The object with its nulls dropped, or a refusal that names the first key nobody modelled."""
    if not isinstance(value, dict):
        if not where:
            raise BadRequest("invalid_value", "the body must be an object")
        wrong(where, "an object")
    for key in value:
        if key not in allowed:
            place, name = f" in `{where}`" if where else "", name_of(key)
            param = ".".join(filter(None, (where, key if name == f"`{key}`" else "")))
            raise BadRequest("unknown_field", f"unknown field {name}{place}", param or None)
    return {key: item for key, item in value.items() if item is not None}


def text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        wrong(where, "a string")
    return value


def boolean(value: Json, where: str) -> bool:
    if not isinstance(value, bool):
        wrong(where, "true or false")
    return value


def integer(low: int, high: int) -> Reader:
    def read(value: Json, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            wrong(where, f"an integer from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Reader:
    def read(value: Json, where: str) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            wrong(where, f"a number from {low:g} to {high:g}")
        return value

    return read


def one_of(*choices: str) -> Reader:
    def read(value: Json, where: str) -> str:
        if not isinstance(value, str) or value not in choices:
            wrong(where, "one of " + ", ".join(f"`{choice}`" for choice in choices))
        return value

    return read


def identifier(value: Json, where: str) -> str:
    """A name or id: no spaces, no markup, so it cannot carry a sentence past the guards."""
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        wrong(where, "1 to 128 letters, digits and `_ . : -`")
    return value


def logit_bias(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict) or len(value) > 1024:
        wrong(where, "an object of at most 1024 token ids")
    bias = number(-100, 100)
    for token, amount in value.items():
        if not (token.isascii() and token.isdigit() and len(token) <= 9):
            wrong(where, "an object whose keys are token ids")
        bias(amount, where)
    return value
