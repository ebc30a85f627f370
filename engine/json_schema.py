"""A caller's JSON Schema to the part of it that a grammar can hold, or a refusal that names the keyword.

What a schema asks for is held to the letter or the request is refused: a keyword without effect would be a lie. What
JSON Schema itself calls annotation (titles, descriptions, defaults, formats nobody here knows) is left out, so it
neither reaches the grammar nor makes two equal schemas different. References lead nowhere but into the schema itself.
Messages name keywords of JSON Schema only, never what a caller wrote.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from engine.errors import BadRequest

Schema: TypeAlias = Any
"""A JSON Schema: an object, or true or false."""
MAX_SCHEMA_CHARACTERS, MAX_DEPTH = 131_072, 48
LARGEST: Final = 1e15
"""Numbers of which it is not said how large they may be, where they have to be finite."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DATA: Final = _words(
    "const enum type minItems maxItems maxProperties minLength maxLength pattern minimum maximum exclusiveMinimum "
    "exclusiveMaximum multipleOf required $anchor"
)
_ONE: Final = frozenset(("additionalProperties", "additionalItems"))
_LISTS: Final = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
_MAPS: Final = frozenset(("properties", "patternProperties", "$defs", "definitions"))
_ANNOTATIONS: Final = _words(
    "title description default examples example readOnly writeOnly deprecated $comment contentMediaType "
    "contentEncoding contentSchema discriminator externalDocs xml strict"
)
"""What asks for nothing. `strict` belongs one level above, where it is often not put; it asks for what is done."""
_REFUSED: Final = _words(
    "not if then else contains minContains maxContains propertyNames dependentRequired dependentSchemas dependencies "
    "unevaluatedProperties unevaluatedItems $dynamicRef $dynamicAnchor $recursiveRef $recursiveAnchor $vocabulary "
    "$id id nullable"
)
_FORMATS: Final = _words("date-time time date duration email hostname ipv4 ipv6 uuid uri")
KEYWORDS: Final = _DATA | _ONE | _LISTS | _MAPS | _REFUSED | {"$ref", "items", "format", "uniqueItems", "minProperties"}
"""Names that a message may hold."""


def refuse(param: str, problem: str) -> NoReturn:
    """`problem` continues the name of the field."""
    raise BadRequest("invalid_schema", f"`{param}` {problem}", param)


def cleaned(schema: Schema, param: str, into: tuple[str, ...] = ("#",), finite: bool = False) -> dict[str, Schema]:
    """What is enforced of a whole schema.

    `into` is where references may lead. With `finite`, numbers without bounds get some, so that every one of them
    can be held by a float.
    """
    if not isinstance(schema, dict):
        refuse(param, "is no JSON Schema object")
    if _size(schema) > MAX_SCHEMA_CHARACTERS:
        refuse(param, f"has more than {MAX_SCHEMA_CHARACTERS} characters, or is nested too deeply")
    root = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
    if not isinstance(schema.get("$schema", ""), str):
        refuse(param, "has a `$schema` that is no string")
    found = _Walk(param, into, finite, root).schema(root, 0)
    assert isinstance(found, dict)
    return found


def _size(schema: Schema) -> float:
    try:
        return len(json.dumps(schema))
    except RecursionError:
        return math.inf


class _Walk:
    """One pass over one schema."""

    def __init__(self, param: str, into: tuple[str, ...], finite: bool, root: Mapping[str, Schema]) -> None:
        self._param, self._into, self._finite, self._root = param, into, finite, root

    def schema(self, value: Schema, depth: int) -> Schema:
        if isinstance(value, bool):
            return value
        if not isinstance(value, dict):
            refuse(self._param, "holds something where JSON Schema expects a schema")
        if depth > MAX_DEPTH:
            refuse(self._param, f"has more than {MAX_DEPTH} levels")
        kept = {
            key: self._keyword(key, item, value, depth + 1) for key, item in value.items() if self._keeps(key, item)
        }
        _drop_satisfied(kept)
        if "minProperties" in kept and kept["minProperties"] != 1:
            refuse(self._param, "uses `minProperties` for more than what is required, which cannot be enforced")
        if "oneOf" in kept and "anyOf" not in kept and _is_tagged(value["oneOf"], self._root):
            kept["anyOf"] = kept.pop("oneOf")
        return _with_bounds(kept) if self._finite else kept

    def _keeps(self, key: str, value: Schema) -> bool:
        if key in _ANNOTATIONS or key.startswith("x-"):
            return False
        if key == "format":
            return isinstance(value, str) and value in _FORMATS
        return not (key == "uniqueItems" and value is False)

    def _keyword(self, key: str, value: Schema, siblings: Mapping[str, Schema], depth: int) -> Schema:
        if key in _MAPS:
            return self._map(key, value, depth)
        if key in _LISTS or (key == "items" and isinstance(value, list)):
            return self._list(key, value, depth)
        if key in _ONE or key == "items":
            return self.schema(value, depth)
        if key == "$ref":
            return self._reference(value)
        if key in _REFUSED or key == "uniqueItems":
            refuse(self._param, f"uses `{key}`, which cannot be enforced")
        if key not in KEYWORDS:
            refuse(self._param, "uses a keyword that is not one of JSON Schema")
        return value

    def _map(self, key: str, value: Schema, depth: int) -> Schema:
        if not isinstance(value, dict):
            refuse(self._param, f"has a `{key}` that is no object")
        return {name: self.schema(item, depth) for name, item in value.items()}

    def _list(self, key: str, value: Schema, depth: int) -> Schema:
        if not isinstance(value, list):
            refuse(self._param, f"has an `{key}` that is no list")
        return [self.schema(item, depth) for item in value]

    def _reference(self, value: Schema) -> Schema:
        if not isinstance(value, str) or not value.startswith(self._into):
            told = " or ".join(f"`{one}`" for one in self._into)
            refuse(self._param, f"uses a `$ref` that does not begin with {told}; nothing is fetched")
        return value


def _is_tagged(options: Sequence[Schema], root: Mapping[str, Schema]) -> bool:
    """Whether a property that each of them requires has another value in each: then any one excludes the others."""
    tags = [_tags(option, root) for option in options]
    return any(len({one.get(name) for one in tags} - {None}) == len(tags) for name in (tags[0] if tags else ()))


def _tags(option: Schema, root: Mapping[str, Schema]) -> dict[str, str]:
    """Required properties with one text as their only value. Looks through a reference to a definition."""
    if isinstance(option, dict) and isinstance(option.get("$ref"), str):
        place, _, name = option["$ref"].removeprefix("#/").partition("/")
        definitions = root.get(place)
        option = definitions.get(name) if isinstance(definitions, dict) else None
    if not isinstance(option, dict) or option.get("type") != "object":
        return {}
    properties, required = option.get("properties"), option.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    told = {name: one.get("const") for name, one in properties.items() if name in required and isinstance(one, dict)}
    return {name: text for name, text in told.items() if isinstance(text, str)}


def _drop_satisfied(kept: dict[str, Schema]) -> None:
    """`minProperties` that `required` fulfils. One that it does not would count keys that are there twice."""
    required, least = kept.get("required", []), kept.get("minProperties")
    if isinstance(least, int) and isinstance(required, list) and least <= len(set(map(str, required))):
        del kept["minProperties"]


def _with_bounds(kept: dict[str, Schema]) -> dict[str, Schema]:
    types = kept.get("type")
    if not {"number", "integer"} & set(map(str, types if isinstance(types, list) else [types])):
        return kept
    low = {} if "exclusiveMinimum" in kept else {"minimum": -LARGEST}
    high = {} if "exclusiveMaximum" in kept else {"maximum": LARGEST}
    return {**low, **high, **kept}


def keyword_in(message: str) -> str | None:
    """The keyword that a library's message speaks of. Nothing else of such a message may be told: it quotes."""
    if "regex" in message:
        return "pattern"
    if "Pointer" in message or "Resource" in message or "Definition" in message:
        return "$ref"
    words = (word.strip("'\"`:,.;[]()") for word in message.split())
    return next((word for word in words if word in KEYWORDS), None)
