"""The form of a policy file as JSON Schema (draft 2020-12), for editors and for whoever writes policies by program.

It is made from the tables that the loader reads by, so that it follows them: guards with their options and categories,
limits, scopes, words of conditions. A schema sees one place at a time. That a rule asks a detector which exists, that
a threshold is there where it is needed, that a test expects a rule of the file: that is for `policy check`. What the
loader accepts, the schema accepts; a key that no table has is refused by both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from guards.errors import ErrorKind
from guards.options import MAX_OVERLAP, MAX_WINDOWS, MEMORY_OPTION, VIEWS
from guards.rules.checksums import CHECKS
from guards.rules.near import MOST
from guards.rules.size import MOST as MOST_TEXT
from guards.verdict import Scope
from policies import vocabulary as words
from policies.cases import ACTIONS as OUTCOMES
from policies.cases import ROLES
from policies.extending import PINNED
from policies.fields import DURATION_UNITS, SIZE_UNITS
from policies.keeping import CLASS_NAME, CONTENT
from policies.load import FORMAT
from policies.model import Mode
from policies.read_actions import (
    CODE,
    LONGEST_AS,
    LONGEST_TEMPLATE,
    LONGEST_TEXT,
    MAX_TEMPLATES,
    QUEUE,
    SEVERITIES,
)
from policies.read_detectors import LANGUAGE, MAX_DETECTORS, NAME, detector_keys
from policies.read_rules import MAX_RULES, RULE_ID
from policies.settings import Limits
from policies.vocabulary import KNOWN_GUARDS, GuardFacts

Schema: TypeAlias = "dict[str, Schema] | list[Schema] | str | int | bool"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(known: Mapping[str, GuardFacts] = KNOWN_GUARDS) -> dict[str, Schema]:
    """The schema, for these guards."""
    return {
        "$schema": DIALECT,
        "title": f"Gatehouse policy ({FORMAT})",
        **_object(
            {
                "gatehouse": {"const": FORMAT},
                "name": _pattern(r"[a-z][a-z0-9-]{0,63}"),
                "version": _pattern(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}"),
                "owner": _pattern(r"[^\x00-\x1f]{1,200}"),
                "regimes": _list(_pattern(r"[a-z0-9][a-z0-9-]{0,39}")),
                "extends": _list(_pattern(PINNED), least=1),
                "may_relax": _list(_TEXT),
                "defaults": _defaults(),
                "claims": _list(_pattern(NAME)),
                "templates": {
                    "type": "object",
                    "propertyNames": _pattern(QUEUE),
                    "maxProperties": MAX_TEMPLATES,
                    "additionalProperties": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEMPLATE},
                },
                "detectors": {
                    "type": "object",
                    "propertyNames": _pattern(NAME),
                    "maxProperties": MAX_DETECTORS,
                    "additionalProperties": {"anyOf": [_ref(f"guard_{use}") for use in known]},
                },
                "rules": {"type": "array", "minItems": 1, "maxItems": MAX_RULES, "items": _ref("rule")},
                "tests": {"type": "array", "items": _ref("test")},
            },
            ("gatehouse", "name", "version"),
        ),
        "anyOf": [{"required": ["extends"]}, {"required": ["detectors", "rules"]}],
        "$defs": {
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "scopes": _list(_enum(Scope), least=1),
            "rule": _rule(),
            "condition": _condition(),
            "asked": _asked(),
            "fake": _fake(),
            "test": _test(),
            **{f"guard_{use}": _detector(use, guard) for use, guard in known.items()},
        },
    }


# --- small forms ---


def _object(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> dict[str, Schema]:
    """With these keys and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list[Schema](required),
        "additionalProperties": False,
    }


def _pattern(pattern: str) -> dict[str, Schema]:
    return {"type": "string", "pattern": f"^{pattern}$"}


def _enum(names: Iterable[str]) -> dict[str, Schema]:
    return {"enum": [str(name) for name in names]}


def _list(items: Schema, least: int = 0) -> dict[str, Schema]:
    return {"type": "array", "items": items, "minItems": least, "uniqueItems": True}


def _one_or_more(items: Schema) -> dict[str, Schema]:
    return {"anyOf": [items, _list(items, least=1)]}


def _whole(least: int, most: int) -> dict[str, Schema]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _ref(name: str) -> dict[str, Schema]:
    return {"$ref": f"#/$defs/{name}"}


def _unit(digits: int, units: Iterable[str]) -> dict[str, Schema]:
    return _pattern(f"[0-9]{{1,{digits}}}({'|'.join(units)})")


_TEXT: dict[str, Schema] = {"type": "string", "minLength": 1}
_DURATION = _unit(9, DURATION_UNITS)
_AMOUNT = _pattern("[0-9]{1,5} (tokens|characters)")
_DAY = _pattern("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ON_ERROR: dict[str, Schema] = {
    "on_error": {"enum": ["closed", "open"]},
    "accept_risk": _object({"by": _TEXT, "ticket": _TEXT, "until": _DAY}, ("by", "ticket", "until")),
}
_SWITCH: dict[str, Schema] = {"enum": ["on", "off", True, False]}


# --- defaults ---


def _defaults() -> dict[str, Schema]:
    bounds: dict[str, Schema] = {"min": _AMOUNT, "max": _AMOUNT}
    window: dict[str, Schema] = {
        "mode": {"const": "window"},
        "window": {"anyOf": [_AMOUNT, _object(bounds, bounds)]},
        "holdback": _AMOUNT,
        "max_wait": _DURATION,
        "max_delay": _DURATION,
    }
    streams: list[Schema] = [_object({"mode": {"const": "buffer"}}, ["mode"]), _object(window, ["mode", "window"])]
    return _object(
        {
            "uncovered": {"const": "deny"},
            **_ON_ERROR,
            "stream": {"anyOf": streams},
            "limits": _object({name: _limit(name) for name in Limits.__dataclass_fields__}),
            "audit": _object({"content": _enum(CONTENT), "retention": _pattern(CLASS_NAME)}, ["content"]),
        }
    )


_LIMITS: Mapping[str, tuple[int, int]] = {
    "depth": (4, 256),
    "messages": (1, 10_000),
    "images": (0, 0),
    "tools": (0, 1_000),
    "input_chars": (1, 10_000_000),
    "output_chars": (1, 10_000_000),
    "n": (1, 16),
    "input_tokens": (1, 1_000_000),
    "output_tokens": (1, 1_000_000),
}
"""Bounds as in policies/load.py; a test compares them with what it accepts."""


def _limit(name: str) -> dict[str, Schema]:
    if name in _LIMITS:
        return _whole(*_LIMITS[name])
    return _unit(12, SIZE_UNITS) if name == "body" else {"enum": [True, False, "allow", "forbid"]}


# --- detectors ---


def _detector(use: str, guard: GuardFacts) -> dict[str, Schema]:
    return _object(
        {key: {"const": use} if key == "use" else _option(key, guard) for key in detector_keys(guard)},
        ["use", "pattern"] if guard.takes_pattern else ["use", *(sorted(guard.rule.required) if guard.rule else ())],
    )


def _option(key: str, guard: GuardFacts) -> Schema:
    if key in guard.names:
        names = guard.names[key]
        return _list(_enum((*names.known, *names.groups)), least=1)
    if key == "categories":
        by_code = _object({code: _ref("share") for code in guard.categories})
        return {"anyOf": [{"const": "all"}, by_code, _list(_TEXT)]}
    return _OPTIONS.get(key, True)


_OPTIONS: Mapping[str, Schema] = {
    "timeout": _DURATION,
    **_ON_ERROR,
    "threshold": _ref("share"),
    "languages": {
        "type": "object",
        "propertyNames": _pattern(LANGUAGE),
        "additionalProperties": {
            "anyOf": [
                _ref("share"),
                _object({"threshold": _ref("share"), "categories": {"type": ["object", "string"]}}),
            ]
        },
    },
    "pattern": _TEXT,
    "label": _pattern(NAME),
    "engine": {"const": "re2"},
    "views": {"type": "array", "items": _enum(VIEWS)},
    "length_aware": _SWITCH,
    "overlap": _whole(0, MAX_OVERLAP),
    "max_windows": _whole(1, MAX_WINDOWS),
    MEMORY_OPTION: _SWITCH,
    "exclude": _list(_TEXT),
    "custom": {"type": "object", "additionalProperties": _TEXT},
    "mode": _enum(("score", "generate")),
    "find": _list(_TEXT, least=1),
    "locales": _list(_TEXT, least=1),
    "words": {"anyOf": [_list(_TEXT, least=1), _whole(1, MOST_TEXT)]},
    "characters": _whole(1, MOST_TEXT),
    "lines": _whole(1, MOST_TEXT),
    "times": _whole(4, 1_000),
    "canaries": _list(_TEXT, least=1),
    "schema": {"type": "object"},
    "hosts": _list(_TEXT),
    "list": _TEXT,
    "term": _TEXT,
    "value": _TEXT,
    "within": _whole(0, MOST),
    "check": _enum(CHECKS),
    "patterns": {"type": "object", "additionalProperties": _TEXT},
}
"""Options whose values the guard's own reader judges further; one that is not here may be anything."""


# --- rules ---


def _rule() -> dict[str, Schema]:
    return _object(
        {
            "id": _pattern(RULE_ID),
            "on": _ref("scopes"),
            "when": _ref("condition"),
            "unless": _ref("condition"),
            "do": _do(),
            "mode": _enum(Mode),
            "until": _DAY,
            "relaxes": _pattern(RULE_ID),
            "stream": _object({"mode": {"const": "buffer"}}, ["mode"]),
            **_ON_ERROR,
        },
        ("id", "on", "do"),
    ) | {"anyOf": [{"required": ["until"]}, {"properties": {"mode": _enum((Mode.ENFORCE, Mode.SHADOW))}}]}


def _do() -> dict[str, Schema]:
    message = _pattern(r"[^\x00-\x1f\x7f]{1,500}")
    redact: dict[str, Schema] = {
        "as": {"type": "string", "minLength": 1, "maxLength": LONGEST_AS},
        "reversible": {"const": "tenant"},
        "before_audit": {"type": "boolean"},
    }
    main: dict[str, Schema] = {
        "block": _object({"code": _pattern(CODE), "message": message}, ["code"]),
        "redact": _object(redact, ["as"]),
        "replace": _object({"text": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}}, ["text"]),
        "replace_response": _object({"template": _pattern(QUEUE)}, ["template"]),
        "route": _object({"model": _TEXT, "require_seed": {"type": "boolean"}}, ["model"]),
    }
    beside: dict[str, Schema] = {
        "flag": _object({"queue": _pattern(QUEUE), "severity": _enum(SEVERITIES)}),
        "annotate": _object({"field": _pattern(CODE)}, ["field"]),
    }
    alone: Schema = _object(beside) | {"minProperties": 1}
    return {
        "anyOf": [_enum(("allow", "flag")), alone, *(_object({name: main[name], **beside}, [name]) for name in main)]
    }


def _condition() -> dict[str, Schema]:
    """Words of the language, claims, and names of detectors."""
    listed: Schema = {"type": "array", "minItems": 1, "items": _ref("condition")}
    known: dict[str, Schema] = {name: _fact(name) for name in words.FACTS}
    known |= {name: _ref("condition") if name == "not" else listed for name in words.COMBINATIONS}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": known,
        "propertyNames": _pattern(NAME),
        "additionalProperties": {"anyOf": [_ref("asked"), _fact("")]},
    }


def _fact(name: str) -> Schema:
    value = _enum(words.TOOL_CONTEXTS) if name == "tool_context" else _pattern(r"[^\s\x00-\x1f]{1,200}")
    keys = ("in", "not_in", "class") if name == "upstream" else ("in", "not_in")
    by_key: list[Schema] = [_object({key: _one_or_more(value)}, [key]) for key in keys]
    return {"anyOf": [value, _list(value, least=1), *by_key]}


def _asked() -> dict[str, Schema]:
    """What a rule may ask a detector."""
    names = _list(_TEXT, least=1)
    asked: dict[str, Schema] = {
        "score": _bounds(_ref("share")),
        "unsafe": {"type": "boolean"},
        "category": names,
        "only": names,
        "in": names,
        "not_in": names,
        "count": _bounds(_whole(0, 1_000_000_000)),
        "entity": _one_or_more(_TEXT),
    }
    return _object(asked) | {"minProperties": 1}


def _bounds(number: Schema) -> dict[str, Schema]:
    return _object(dict.fromkeys(("gte", "gt", "lt", "lte"), number)) | {"minProperties": 1}


# --- tests ---


def _test() -> dict[str, Schema]:
    message: dict[str, Schema] = {"anyOf": [_object({role: _TEXT}, [role]) for role in ROLES]}
    messages: Schema = {"type": "array", "minItems": 1, "items": message}
    send: dict[str, Schema] = {"messages": messages, "stream": {"type": "boolean"}}
    send |= dict.fromkeys(("model", "tenant", "app", *words.CLAIMS), _TEXT) | {
        "n": _whole(1, 128),
        "seed": _whole(0, 2**31),
    }
    chunks: Schema = {"type": "array", "minItems": 1, "items": _TEXT}
    call: Schema = {"type": "object", "additionalProperties": True, "minProperties": 1, "maxProperties": 1}
    calls: dict[str, Schema] = {"tool_calls": {"type": "array", "minItems": 1, "items": call}, "class": _TEXT}
    upstream: Schema = {"anyOf": [_object({"text": _TEXT, **calls}), _object({"chunks": chunks, **calls})]}
    by_scope: Schema = _object(dict.fromkeys(map(str, Scope), _ref("fake"))) | {"minProperties": 1}
    fakes: Schema = {
        "type": "object",
        "properties": {"upstream": upstream, "clock": _DAY},
        "propertyNames": _pattern(NAME),
        "additionalProperties": {"anyOf": [_ref("fake"), by_scope]},
    }
    return _object(
        {
            "name": _pattern(r"[^\x00-\x1f]{1,200}"),
            "send": _object(send, ["messages"]) | {"additionalProperties": _TEXT},
            "fake": fakes,
            "expect": _expect(),
        },
        ("name", "send", "expect"),
    )


def _fake() -> dict[str, Schema]:
    error = _object({"error": _enum(ErrorKind)}, ["error"])
    said = _object({"score": _ref("share"), "unsafe": _list(_TEXT, least=1)}) | {"minProperties": 1}
    return {"anyOf": [error, said]}


def _expect() -> dict[str, Schema]:
    rule, texts = _pattern(RULE_ID), _one_or_more(_TEXT)
    return _object(
        {
            "action": _enum(OUTCOMES),
            "rule": rule,
            "rules": _list(rule),
            "code": _pattern(CODE),
            "status": _whole(200, 599),
            "upstream_calls": _whole(0, 1),
            "shadow": _list(rule),
            "flags": _list(_TEXT),
            "annotations": _list(_TEXT),
            "template": _TEXT,
            "route": _TEXT,
            "client_sees": texts,
            "client_never_sees": texts,
            "upstream_sees": texts,
        },
        ["action"],
    )
