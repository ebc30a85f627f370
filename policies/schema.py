"""The form of a policy file as JSON Schema (draft 2020-12), for editors and for whoever writes policies by program.

It is made from the tables that the loader reads by, so that it follows them: guards with their options and categories,
limits, scopes, words of conditions. A schema sees one place at a time. That a rule asks a detector which exists, that
a threshold is there where it is needed, that a test expects a rule of the file: that is for `policy check`. What the
loader accepts, the schema accepts; a key that no table has is refused by both.
"""

from __future__ import annotations

from collections.abc import Mapping

from guards.generative.options import Hears
from guards.options import LEAST_WINDOW, MAX_OVERLAP, MAX_WINDOWS, MEMORY_OPTION, VIEWS
from guards.rules.checksums import CHECKS
from guards.rules.near import MOST
from guards.rules.size import MOST as MOST_TEXT
from guards.verdict import Scope
from policies import vocabulary as words
from policies.actions import DIALECTS
from policies.evals import MOST as MOST_EVALS
from policies.extending import PINNED
from policies.fields import SIZE_UNITS
from policies.keeping import ACK, CLASS_NAME, CONTENT, MOST_SINKS, PROGRESS
from policies.load import FORMAT
from policies.model import Mode
from policies.read_actions import (
    CODE,
    LONGEST_AS,
    LONGEST_TEMPLATE,
    LONGEST_TEXT,
    MAX_TEMPLATES,
    SEVERITIES,
)
from policies.read_detectors import LANGUAGE, MAX_DETECTORS, NAME, detector_keys
from policies.read_reviews import QUEUE
from policies.read_rules import MAX_RULES, RULE_ID
from policies.schema_cases import case_form, eval_form, fake_form
from policies.schema_forms import (
    AMOUNT,
    DAY,
    DURATION,
    SWITCH,
    TEXT,
    Schema,
    keys,
    listed,
    matches,
    one_of,
    one_or_more,
    ref,
    unit,
    whole,
)
from policies.schema_reviews import ON_ERROR, review_form
from policies.settings import MOST_IMAGES, STREAM_MODES, Limits
from policies.vocabulary import KNOWN_GUARDS, GuardFacts

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(known: Mapping[str, GuardFacts] = KNOWN_GUARDS) -> dict[str, Schema]:
    """The schema, for these guards."""
    return {
        "$schema": DIALECT,
        "title": f"Gatehouse policy ({FORMAT})",
        **keys(
            {
                "gatehouse": {"const": FORMAT},
                "name": matches(r"[a-z][a-z0-9-]{0,63}"),
                "version": matches(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}"),
                "owner": matches(r"[^\x00-\x1f]{1,200}"),
                "regimes": listed(matches(r"[a-z0-9][a-z0-9-]{0,39}")),
                "extends": listed(matches(PINNED), least=1),
                "may_relax": listed(TEXT),
                "defaults": _defaults(),
                "claims": listed(matches(NAME)),
                "templates": {
                    "type": "object",
                    "propertyNames": matches(QUEUE),
                    "maxProperties": MAX_TEMPLATES,
                    "additionalProperties": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEMPLATE},
                },
                "detectors": {
                    "type": "object",
                    "propertyNames": matches(NAME),
                    "maxProperties": MAX_DETECTORS,
                    "additionalProperties": {"anyOf": [ref(f"guard_{use}") for use in known]},
                },
                "rules": {"type": "array", "minItems": 1, "maxItems": MAX_RULES, "items": ref("rule")},
                "tests": {"type": "array", "items": ref("test")},
                "eval": {"type": "array", "maxItems": MOST_EVALS, "items": ref("eval")},
            },
            ("gatehouse", "name", "version"),
        ),
        "anyOf": [{"required": ["extends"]}, {"required": ["detectors", "rules"]}],
        "$defs": {
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "scopes": listed(one_of(Scope), least=1),
            "rule": _rule(),
            "condition": _condition(),
            "asked": _asked(),
            "fake": fake_form(),
            "test": case_form(),
            "eval": eval_form(),
            **{f"guard_{use}": _detector(use, guard) for use, guard in known.items()},
        },
    }


# --- defaults ---


def _defaults() -> dict[str, Schema]:
    bounds: dict[str, Schema] = {"min": AMOUNT, "max": AMOUNT}
    window: dict[str, Schema] = {
        "mode": {"const": "window"},
        "window": {"anyOf": [AMOUNT, keys(bounds, bounds)]},
        "holdback": AMOUNT,
        "max_wait": DURATION,
        "max_delay": DURATION,
    }
    audit: dict[str, Schema] = {
        "content": one_of(CONTENT),
        "retention": matches(CLASS_NAME),
        "ack": one_of(ACK),
        "progress": one_of(PROGRESS),
        "sinks": keys({"require": whole(1, MOST_SINKS)}, ["require"]),
    }
    whole_mode = one_of([mode for mode in STREAM_MODES if mode != "window"])
    streams: list[Schema] = [keys({"mode": whole_mode}, ["mode"]), keys(window, ["mode", "window"])]
    return keys(
        {
            "uncovered": one_of(("deny", "allow")),
            **ON_ERROR,
            "stream": {"anyOf": streams},
            "limits": keys({name: _limit(name) for name in Limits.__dataclass_fields__}),
            "audit": keys(audit, ["content"]),
        }
    )


_LIMITS: Mapping[str, tuple[int, int]] = {
    "depth": (4, 256),
    "messages": (1, 10_000),
    "images": (0, MOST_IMAGES),
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
        return whole(*_LIMITS[name])
    return unit(12, SIZE_UNITS) if name == "body" else {"enum": [True, False, "allow", "forbid"]}


# --- detectors ---


def _detector(use: str, guard: GuardFacts) -> dict[str, Schema]:
    return keys(
        {key: {"const": use} if key == "use" else _option(key, guard) for key in detector_keys(guard)},
        ["use", "pattern"] if guard.takes_pattern else ["use", *(sorted(guard.rule.required) if guard.rule else ())],
    )


def _option(key: str, guard: GuardFacts) -> Schema:
    if key in guard.names:
        names = guard.names[key]
        return listed(one_of((*names.known, *names.groups)), least=1)
    if guard.rule and key in guard.rule.names:
        return listed(one_of(guard.rule.names[key]), least=1)
    if key == "categories":
        by_code = keys({code: ref("share") for code in guard.categories})
        return {"anyOf": [{"const": "all"}, by_code, listed(TEXT)]}
    return _OPTIONS.get(key, True)


_OPTIONS: Mapping[str, Schema] = {
    "timeout": DURATION,
    **ON_ERROR,
    "threshold": ref("share"),
    "languages": {
        "type": "object",
        "propertyNames": matches(LANGUAGE),
        "additionalProperties": {
            "anyOf": [
                ref("share"),
                keys({"threshold": ref("share"), "categories": {"type": ["object", "string"]}}),
            ]
        },
    },
    "pattern": TEXT,
    "label": matches(NAME),
    "engine": {"const": "re2"},
    "views": {"type": "array", "items": one_of(VIEWS)},
    "length_aware": SWITCH,
    "overlap": whole(0, MAX_OVERLAP),
    "segment": keys({"tokens": whole(LEAST_WINDOW, MAX_OVERLAP), "overlap": whole(0, MAX_OVERLAP)}, ["tokens"]),
    "reduce": {"const": "max"},
    "retries": {"const": 0},
    "context": one_of(Hears),
    "endpoint": matches(NAME),
    "max_windows": whole(1, MAX_WINDOWS),
    MEMORY_OPTION: SWITCH,
    "exclude": listed(TEXT),
    "custom": {"type": "object", "additionalProperties": TEXT},
    "mode": one_of(("score", "generate")),
    "words": {"anyOf": [listed(TEXT, least=1), whole(1, MOST_TEXT)]},
    "characters": whole(1, MOST_TEXT),
    "lines": whole(1, MOST_TEXT),
    "times": whole(4, 1_000),
    "canaries": listed(TEXT, least=1),
    "schema": {"type": "object"},
    "hosts": listed(TEXT),
    "list": TEXT,
    "term": TEXT,
    "value": TEXT,
    "within": whole(0, MOST),
    "check": one_of(CHECKS),
    "patterns": {"type": "object", "additionalProperties": TEXT},
}
"""Options whose values the guard's own reader judges further; one that is not here may be anything."""


# --- rules ---


def _rule() -> dict[str, Schema]:
    return keys(
        {
            "id": matches(RULE_ID),
            "on": ref("scopes"),
            "when": ref("condition"),
            "unless": ref("condition"),
            "do": _do(),
            "mode": one_of(Mode),
            "until": DAY,
            "relaxes": matches(RULE_ID),
            "stream": keys({"mode": one_of(("buffer", "window"))}, ["mode"]),
            **ON_ERROR,
        },
        ("id", "on", "do"),
    ) | {"anyOf": [{"required": ["until"]}, {"properties": {"mode": one_of((Mode.ENFORCE, Mode.SHADOW))}}]}


def _do() -> dict[str, Schema]:
    message = matches(r"[^\x00-\x1f\x7f]{1,500}")
    redact: dict[str, Schema] = {
        "as": {"type": "string", "minLength": 1, "maxLength": LONGEST_AS},
        "reversible": {"const": "tenant"},
        "before_audit": {"type": "boolean"},
    }
    main: dict[str, Schema] = {
        "block": keys({"code": matches(CODE), "message": message, "dialect": one_of(DIALECTS)}, ["code"]),
        "redact": keys(redact, ["as"]),
        "replace": keys({"text": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}}, ["text"]),
        "replace_response": keys({"template": matches(QUEUE)}, ["template"]),
        "review": review_form(held=True),
        "route": keys({"model": TEXT, "engine": TEXT, "require_seed": {"type": "boolean"}}, ["model"]),
    }
    beside: dict[str, Schema] = {
        "flag": keys({"queue": matches(QUEUE), "severity": one_of(SEVERITIES)}),
        "annotate": keys({"field": matches(CODE)}, ["field"]),
    }
    alone: Schema = keys(beside) | {"minProperties": 1}
    return {"anyOf": [one_of(("allow", "flag")), alone, *(keys({name: main[name], **beside}, [name]) for name in main)]}


def _condition() -> dict[str, Schema]:
    """Words of the language, claims, and names of detectors."""
    conditions: Schema = {"type": "array", "minItems": 1, "items": ref("condition")}
    known: dict[str, Schema] = {name: _fact(name) for name in words.FACTS}
    known |= {name: ref("condition") if name == "not" else conditions for name in words.COMBINATIONS}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": known,
        "propertyNames": matches(NAME),
        "additionalProperties": {"anyOf": [ref("asked"), _fact("")]},
    }


def _fact(name: str) -> Schema:
    value = one_of(words.TOOL_CONTEXTS) if name == "tool_context" else matches(r"[^\s\x00-\x1f]{1,200}")
    said = ("in", "not_in", "class") if name == "upstream" else ("in", "not_in")
    by_key: list[Schema] = [keys({key: one_or_more(value)}, [key]) for key in said]
    return {"anyOf": [value, listed(value, least=1), *by_key]}


def _asked() -> dict[str, Schema]:
    """What a rule may ask a detector."""
    names = listed(TEXT, least=1)
    asked: dict[str, Schema] = {
        "score": _bounds(ref("share")),
        "unsafe": {"type": "boolean"},
        "category": names,
        "only": names,
        "in": names,
        "not_in": names,
        "count": _bounds(whole(0, 1_000_000_000)),
        "entity": one_or_more(TEXT),
    }
    return keys(asked) | {"minProperties": 1}


def _bounds(number: Schema) -> dict[str, Schema]:
    return keys(dict.fromkeys(("gte", "gt", "lt", "lte"), number)) | {"minProperties": 1}
