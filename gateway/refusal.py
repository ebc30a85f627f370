"""A model server's refusal in our words.

Its text may quote the prompt, and so may a code that is not a known one. What is passed on are names that the caller
may know anyway: the field that it is about, where that is one of a request's own, and of a schema that it cannot hold
an answer to the keyword, where that is one of JSON Schema's own. That a request is too long for the model SDKs want to
know by OpenAI's code, and few servers have it: there it is read from the words that vLLM, SGLang, llama.cpp, Ollama
and text-generation-inference begin with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.errors import BadRequest, GatewayError, NotFound, Unavailable, UpstreamFailed
from gateway.jsonstrict import Json, loads
from gateway.wire_top import TOP_LEVEL

INVALID_SCHEMA: Final = "invalid_schema"
TOO_LONG: Final = "context_length_exceeded"
KNOWN_CODES: Final = frozenset(
    (
        TOO_LONG,
        "invalid_value",
        "invalid_type",
        "missing_required_parameter",
        "unsupported_parameter",
        "unsupported_value",
        "integer_above_max_value",
        "string_above_max_length",
        INVALID_SCHEMA,
    )
)
"""Codes of a refusal that are passed on, since SDKs act on them. A set, because they end up in records and labels."""
_KEYWORDS: Final = frozenset(
    (
        "$anchor", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema", "additionalItems",
        "additionalProperties", "allOf", "anyOf", "const", "contains", "dependencies", "dependentRequired",
        "dependentSchemas", "else", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items",
        "maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength",
        "minProperties", "minimum", "multipleOf", "not", "nullable", "oneOf", "pattern", "patternProperties",
        "prefixItems", "properties", "propertyNames", "required", "then", "type", "unevaluatedItems",
        "unevaluatedProperties", "uniqueItems",
    )
)  # fmt: skip
_QUOTED: Final = re.compile(r"`([$A-Za-z]{2,32})`")
_FIELD: Final = re.compile("[a-z_]{1,32}(?![a-z_])")
_MAX_MESSAGE: Final = 1000
_SAYS_TOO_LONG: Final = re.compile(
    r".{0,120}?(?:maximum context length|maximum model length|model's context length|exceeds the (?:available )?context"
    r"|longer than the context length|`inputs` (?:tokens \+ `max_new_tokens` must be|must have less than))",
    re.DOTALL,
)
"""Near the beginning: what comes later may quote the prompt."""


def failed(status: int, body: bytes) -> GatewayError:
    """What a caller is told about an answer that is none."""
    if status in (400, 413, 422):
        return _refused(status, _error_of(body))
    if status == 404:
        return NotFound("model_not_found", "the model server does not know the model or the route")
    if status in (429, 503):
        return Unavailable("upstream_overloaded", f"the model server is overloaded or not ready (status {status})")
    return UpstreamFailed("upstream_error", f"the model server answered with status {status}")


def _refused(status: int, error: Mapping[str, Json]) -> BadRequest:
    code = TOO_LONG if _is_too_long(error) else error.get("code")
    if not isinstance(code, str) or code not in KNOWN_CODES:
        code = "upstream_refused"
    param = _field_of(error)
    told = f"the model server refused the request with status {status}" + (f", naming `{param}`" if param else "")
    if code == INVALID_SCHEMA and (keyword := _keyword_of(error)):
        told = f"the model server cannot hold an answer to a schema with this `{keyword}`"
    if code == TOO_LONG:
        told = "the request, with the answer that it asks for, is longer than the model's context length"
    return BadRequest(code, told, param)


def _is_too_long(error: Mapping[str, Json]) -> bool:
    message = error.get("message")
    return error.get("type") == "exceed_context_size_error" or (
        isinstance(message, str) and _SAYS_TOO_LONG.match(message) is not None
    )


def _field_of(error: Mapping[str, Json]) -> str | None:
    """The field of a request that an error is about, without what stands in it."""
    param = error.get("param")
    name = _FIELD.match(param) if isinstance(param, str) else None
    return name[0] if name and name[0] in TOP_LEVEL else None


def _keyword_of(error: Mapping[str, Json]) -> str | None:
    message = error.get("message")
    quoted = _QUOTED.findall(message[:_MAX_MESSAGE]) if isinstance(message, str) else []
    return next((name for name in quoted if name in _KEYWORDS), None)


def _error_of(body: bytes) -> Mapping[str, Json]:
    try:
        top = loads(body, max_depth=16)
    except BadRequest:
        return {}
    if not isinstance(top, dict):
        return {}
    if "detail" in top:
        return {"param": _place_of(top["detail"])}
    error = top.get("error", top)  # SGLang writes no envelope
    return error if isinstance(error, dict) else {"message": error}


def _place_of(detail: Json) -> Json:
    """The field that FastAPI's own refusal is about: `[{"loc": ["body", "top_k"]}]`."""
    first = detail[0] if isinstance(detail, list) and detail else None
    place = first.get("loc") if isinstance(first, dict) else None
    return place[1] if isinstance(place, list) and len(place) > 1 else None
