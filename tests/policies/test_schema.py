"""The schema says what the loader does: what ships validates, no misspelt key does, and bounds are the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.errors import PolicyErrors, Problems
from policies.load import parse_policy
from policies.options import plain
from policies.read_detectors import detector_keys
from policies.schema import schema
from policies.settings import Limits
from policies.vocabulary import FACTS, KNOWN_GUARDS, TEXT_SCOPES
from policies.yaml_strict import parse
from tests.policies.build import document
from tests.policies.json_schema import Schema

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
FILES = sorted(LIBRARY.glob("*.yaml"))
SCHEMA = Schema(schema())


def value_of(text: str) -> Any:
    return _visible(plain(parse(text.encode(), "p.yaml", Problems())))


def _visible(value: Any) -> Any:
    """Hidden characters, which some tests of the library send, are escapes in YAML only."""
    if isinstance(value, dict):
        return {key: _visible(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_visible(one) for one in value]
    return (
        value if not isinstance(value, str) else "".join(char if char.isascii() else str(ord(char)) for char in value)
    )


def loads(value: Any) -> bool:
    """JSON is YAML, so the loader can be asked about a value as well."""
    try:
        parse_policy(json.dumps(value).encode(), str(LIBRARY / "p.yaml"))  # beside the lists that it pins
    except PolicyErrors:
        return False
    return True


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_shipped_policy_validates(file: Path) -> None:
    assert SCHEMA.accepts(value_of(file.read_text()))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key of every mapping, deep."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in entries:
        if isinstance(key, str):
            yield (*path, key)
        yield from places(one, (*path, key))


def misspelt(value: Any, path: tuple[Any, ...]) -> Any:
    edited = copy.deepcopy(value)
    holder = edited
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1] + "x"] = holder.pop(path[-1])
    return edited


def _is_free(path: tuple[Any, ...]) -> bool:
    """Whether the form lets any name stand there: facts beside detectors and claims, tools and their arguments."""
    return path[-1] in (*FACTS, "requester") or bool({"tool_calls", "tools"} & set(path[:-1]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_misspelt_key_validates(file: Path) -> None:
    """Names of detectors are the author's: that one is misspelt shows where it is used, which a schema cannot see.

    That none of these loads is told by test_mistakes.py.
    """
    value = value_of(file.read_text())
    assert loads(value)
    value["tests"] = value["tests"][:20]
    names = {*value["detectors"], *value.get("templates", ())}
    tried = 0
    for path in places(value):
        if path[-1] not in names and not _is_free(path):
            assert not SCHEMA.accepts(misspelt(value, path)), path
            tried += 1
    assert tried > 150


def edited(**limits: Any) -> Any:
    value = value_of((LIBRARY / "default.yaml").read_text())
    value["defaults"]["limits"] |= limits
    return value


@pytest.mark.parametrize("name", [name for name in Limits.__dataclass_fields__ if name not in ("body", "logprobs")])
def test_bounds_of_limits_are_those_of_the_loader(name: str) -> None:
    said = schema()["properties"]["defaults"]["properties"]["limits"]["properties"][name]  # type: ignore[call-overload,index]
    for number in (said["minimum"], said["maximum"]):
        assert loads(edited(**{name: number}))
    for number in (said["minimum"] - 1, said["maximum"] + 1):
        assert not loads(edited(**{name: number}))
        assert not SCHEMA.accepts(edited(**{name: number}))


@pytest.mark.parametrize("use", KNOWN_GUARDS)
def test_every_key_of_every_guard_is_in_the_schema_with_a_form(use: str) -> None:
    guard = schema()["$defs"][f"guard_{use}"]  # type: ignore[call-overload,index]
    assert set(guard["properties"]) == set(detector_keys(KNOWN_GUARDS[use]))
    assert True not in guard["properties"].values(), "an option that the schema says nothing about"


RULE = "{id: own, on: [user], when: {inject: {score: {gte: 0.5}}}, do: {block: {code: x}}}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[user]", "[usr]"),
        ("[user]", "[]"),
        ("[user]", "[user, user]"),
        ("gte: 0.5", "gte: 1.5"),
        ("gte: 0.5", ""),
        ("{score: {gte: 0.5}}", "0.5"),
        ("code: x", "code: X"),
        ("block: {code: x}", "block: {}"),
        ("block: {code: x}", "block: {code: x}, redact: {as: x}"),
        ("own", "Own"),
        ("do:", "mode: off, do:"),
        ("{inject: {score: {gte: 0.5}}}", "{any: {inject: {unsafe: true}}}"),
        ("{inject: {score: {gte: 0.5}}}", "{tenant: []}"),
    ],
)
def test_what_the_loader_refuses_for_its_form_the_schema_refuses(old: str, new: str) -> None:
    good, bad = value_of(document(f"- {RULE}")), value_of(document(f"- {RULE.replace(old, new)}"))
    assert SCHEMA.accepts(good)
    assert loads(good)
    assert not loads(bad)
    assert not SCHEMA.accepts(bad)


def test_scopes_that_rules_may_name_are_all_there() -> None:
    named = schema()["$defs"]["scopes"]["items"]["enum"]  # type: ignore[call-overload,index]
    assert {str(scope) for scope in TEXT_SCOPES} < set(named)
