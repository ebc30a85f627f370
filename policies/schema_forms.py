"""Small forms of JSON Schema that the schema of a policy file is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from policies.fields import DURATION_UNITS

Schema: TypeAlias = "dict[str, Schema] | list[Schema] | str | int | bool"


def keys(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> dict[str, Schema]:
    """With these keys and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list[Schema](required),
        "additionalProperties": False,
    }


def matches(pattern: str) -> dict[str, Schema]:
    return {"type": "string", "pattern": f"^{pattern}$"}


def one_of(names: Iterable[str]) -> dict[str, Schema]:
    return {"enum": [str(name) for name in names]}


def listed(items: Schema, least: int = 0) -> dict[str, Schema]:
    return {"type": "array", "items": items, "minItems": least, "uniqueItems": True}


def one_or_more(items: Schema) -> dict[str, Schema]:
    return {"anyOf": [items, listed(items, least=1)]}


def whole(least: int, most: int) -> dict[str, Schema]:
    return {"type": "integer", "minimum": least, "maximum": most}


def ref(name: str) -> dict[str, Schema]:
    return {"$ref": f"#/$defs/{name}"}


def unit(digits: int, units: Iterable[str]) -> dict[str, Schema]:
    return matches(f"[0-9]{{1,{digits}}}({'|'.join(units)})")


TEXT: dict[str, Schema] = {"type": "string", "minLength": 1}
DURATION = unit(9, DURATION_UNITS)
AMOUNT = matches("[0-9]{1,5} (tokens|characters)")
DAY = matches("[0-9]{4}-[0-9]{2}-[0-9]{2}")
SWITCH: dict[str, Schema] = {"enum": ["on", "off", True, False]}
