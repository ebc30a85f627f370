"""JSON Schema (draft 2020-12) held against a value, with bounds: a client wrote the schema, a model the value.

jsonschema does the checking. What it would do without a bound is replaced: references lead nowhere but into the schema,
patterns run in RE2, every step counts against a budget, because a small schema of nested references can ask for more
steps than there are atoms. A schema that cannot be used so is an error and not a value that passed. No message of the
library leaves this module: it quotes the value.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from guards.rules.base import compile_re2

STEPS: Final = 20_000
AT_ONCE: Final = 8
"""Items of a list in the schema (an `enum`, `properties`) that are looked through in one step."""
MAX_SCHEMA: Final = 200_000
Json: TypeAlias = Any
"""What JSON holds, and the library's validators, which it does not type."""
Keyword: TypeAlias = Callable[[Json, Json, Json, Json], Iterator[ValidationError] | None]


class UnusableSchema(Exception):
    """Not a schema, one that refers to another, one with a pattern RE2 lacks, or one with too many steps."""


class NotJson(Exception):
    """Or nested too deep, or with a number of thousands of digits."""


class _Budget(threading.local):
    """Steps that are left for the value that a thread looks at."""

    left = STEPS

    def spend(self, times: int = 1) -> None:
        self.left -= times
        if self.left < 0:
            raise UnusableSchema


def parse(text: str) -> Json:
    """JSON as RFC 8259 has it: no NaN, no key twice. Raises NotJson."""
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise NotJson from exc


def holds(schema_text: str, value: Json) -> bool:
    """Whether the value is what the schema asks for. Raises UnusableSchema."""
    _BUDGET.left = STEPS
    validator = _VALIDATOR(_schema(schema_text), registry=Registry())
    try:
        return next(validator.iter_errors(value), None) is None
    except (Unresolvable, RecursionError, ArithmeticError, ValueError, re2.error) as exc:
        raise UnusableSchema from exc


@lru_cache(maxsize=64)
def _schema(text: str) -> Json:
    if len(text) > MAX_SCHEMA:
        raise UnusableSchema
    try:
        schema = parse(text)
        Draft202012Validator.check_schema(schema)
        _check_patterns(schema)
    except (NotJson, SchemaError, RecursionError, ValueError, re2.error) as exc:
        raise UnusableSchema from exc
    return schema


def _check_patterns(schema: Json) -> None:
    """All of them, also where no value leads: a policy's schema is refused when it is read, not when it is used."""
    if isinstance(schema, list):
        for item in schema:
            _check_patterns(item)
    elif isinstance(schema, dict):
        keyed = schema.get("patternProperties")
        for pattern in (schema.get("pattern"), *(keyed if isinstance(keyed, dict) else ())):
            if isinstance(pattern, str):
                _compiled(pattern)
        for item in schema.values():
            _check_patterns(item)


def _class() -> Json:
    own: Mapping[str, Keyword] = {**Draft202012Validator.VALIDATORS, **_FIELDS}
    made: Callable[..., Json] = extend
    return made(Draft202012Validator, {name: _counted(check) for name, check in own.items()})


def _counted(check: Keyword) -> Keyword:
    def counted(validator: Json, said: Json, value: Json, schema: Json) -> Iterator[ValidationError] | None:
        _BUDGET.spend(_cost(said, value, schema))
        return check(validator, said, value, schema)

    return counted


def _cost(said: Json, value: Json, schema: Json) -> int:
    """Steps that one keyword may take: what it lists, once, or each pattern with each key."""
    listed = len(said) if isinstance(said, list | dict) else 0
    patterns = schema.get("patternProperties")
    keys = len(value) if isinstance(value, dict) and isinstance(patterns, dict) else 0
    return 1 + (listed + keys * len(patterns or ())) // AT_ONCE


def _pattern(validator: Json, said: Json, value: Json, schema: Json) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(said, value):
        yield ValidationError("pattern")


def _pattern_properties(validator: Json, said: Json, value: Json, schema: Json) -> Iterator[ValidationError]:
    for pattern, inner in said.items() if isinstance(value, dict) else ():
        for key, item in value.items():
            if _matches(pattern, key):
                yield from validator.descend(item, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Json, said: Json, value: Json, schema: Json) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, item in value.items():
        if key in named or any(_matches(pattern, key) for pattern in patterns):
            continue
        if said is False:
            yield ValidationError("additionalProperties")
        else:
            yield from validator.descend(item, said, path=key)


def _unique_items(validator: Json, said: Json, value: Json, schema: Json) -> Iterator[ValidationError]:
    if said and isinstance(value, list):
        spelled = [json.dumps(item, sort_keys=True) for item in value]
        if len(set(spelled)) != len(spelled):
            yield ValidationError("uniqueItems")


def _unusable(validator: Json, said: Json, value: Json, schema: Json) -> Iterator[ValidationError]:
    """The library looks through `patternProperties` with Python's own patterns for these."""
    raise UnusableSchema


_FIELDS: Final[Mapping[str, Keyword]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "unevaluatedItems": _unusable,
    "unevaluatedProperties": _unusable,
}


_BUDGET: Final = _Budget()
_VALIDATOR: Final = _class()


def _matches(pattern: str, text: str) -> bool:
    try:
        return _compiled(pattern).search(text) is not None
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re2._Regexp:
    return compile_re2(pattern, captures=False)


def _refuse(word: str) -> Json:
    raise ValueError("not a number of JSON")


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
