"""The form of `tests:` and `eval:` in a policy file, as JSON Schema; policies/schema.py makes the rest."""

from __future__ import annotations

from guards.errors import ErrorKind
from guards.verdict import Scope
from policies import vocabulary as words
from policies.cases import ACTIONS as OUTCOMES
from policies.cases import ROLES, STATES
from policies.evals import BOUNDS
from policies.keeping import CONTENT, MOST_SINKS
from policies.pinned import FORM
from policies.read_actions import CODE
from policies.read_detectors import NAME
from policies.read_rules import RULE_ID
from policies.schema_forms import DAY, TEXT, Schema, keys, listed, matches, one_of, one_or_more, ref, whole


def case_form() -> dict[str, Schema]:
    message: dict[str, Schema] = {"anyOf": [keys({role: TEXT}, [role]) for role in ROLES]}
    messages: Schema = {"type": "array", "minItems": 1, "items": message}
    tools: Schema = {"type": "object", "additionalProperties": {"type": "object"}}
    send: dict[str, Schema] = {"messages": messages, "stream": {"type": "boolean"}, "tools": tools}
    send |= dict.fromkeys(("model", "tenant", "app", *words.CLAIMS), TEXT) | {
        "n": whole(1, 128),
        "seed": whole(0, 2**31),
        "requester": TEXT,
    }
    chunks: Schema = {"type": "array", "minItems": 1, "items": TEXT}
    call: Schema = {"type": "object", "additionalProperties": True, "minProperties": 1, "maxProperties": 1}
    calls: dict[str, Schema] = {"tool_calls": {"type": "array", "minItems": 1, "items": call}, "class": TEXT}
    calls |= {"reasoning": TEXT, "classes": {"type": "object", "additionalProperties": TEXT}}
    upstream: Schema = {"anyOf": [keys({"text": TEXT, **calls}), keys({"chunks": chunks, **calls})]}
    by_scope: Schema = keys(dict.fromkeys(map(str, Scope), ref("fake"))) | {"minProperties": 1}
    vote: Schema = keys({"by": TEXT, "vote": one_of(("approve", "deny"))}, ("by", "vote"))
    over: Schema = {"const": "timeout"}
    fakes: Schema = {
        "type": "object",
        "properties": {
            "upstream": upstream,
            "clock": DAY,
            "reviews": {"anyOf": [over, {"type": "array", "items": {"anyOf": [vote, over]}}]},
            "audit": keys({"sinks_up": whole(0, MOST_SINKS)}, ["sinks_up"]),
        },
        "propertyNames": matches(NAME),
        "additionalProperties": {"anyOf": [ref("fake"), by_scope]},
    }
    return keys(
        {
            "name": matches(r"[^\x00-\x1f]{1,200}"),
            "send": keys(send, ["messages"]) | {"additionalProperties": TEXT},
            "fake": fakes,
            "expect": _expect(),
        },
        ("name", "send", "expect"),
    )


def eval_form() -> dict[str, Schema]:
    """A claim of the site's own may stand beside what is listed."""
    bounds: dict[str, Schema] = dict.fromkeys(BOUNDS, ref("share"))
    said: dict[str, Schema] = {"corpus": matches(FORM), "rule": matches(RULE_ID), **bounds}
    said |= dict.fromkeys(("tenant", "app", *words.CLAIMS), TEXT)
    needed: list[Schema] = [{"required": [name]} for name in BOUNDS]
    return keys(said, ("corpus", "rule")) | {"additionalProperties": TEXT, "anyOf": needed}


def fake_form() -> dict[str, Schema]:
    error = keys({"error": one_of(ErrorKind)}, ["error"])
    said = keys({"score": ref("share"), "unsafe": listed(TEXT, least=1)}) | {"minProperties": 1}
    place = keys({"text": TEXT, "entity": TEXT}, ["text", "entity"])
    return {"anyOf": [error, said, keys({"spans": listed(place)}, ["spans"])]}


def _expect() -> dict[str, Schema]:
    rule, texts = matches(RULE_ID), one_or_more(TEXT)
    return keys(
        {
            "action": one_of(OUTCOMES),
            "rule": rule,
            "rules": listed(rule),
            "code": matches(CODE),
            "status": whole(200, 599),
            "upstream_calls": whole(0, 1),
            "shadow": listed(rule),
            "flags": listed(TEXT),
            "annotations": listed(TEXT),
            "template": TEXT,
            "route": TEXT,
            "state": one_of(STATES),
            "because": TEXT,
            "audit": keys({"content": one_of(CONTENT)}, ["content"]),
            "client_sees": texts,
            "audit_never_holds": texts,
            "client_never_sees": texts,
            "upstream_sees": texts,
        },
        ["action"],
    )
