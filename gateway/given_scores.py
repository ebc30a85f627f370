"""Scores out of a file, in place of guards: what would the policy say if a detector said this?

    {"inject": 0.93, "harm": {"/messages/0/content": {"score": 0.4, "categories": {"S9": 0.4}}, "output": 0.1},
     "judge": {"error": "timeout"}}

By detector: a number, an object, or those by the path or the scope of a part; a path counts before a scope. A part that
the file says nothing of has no verdict. Whatever is wrong with the file is said with the name of the detector.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path

from gateway.errors import GatewayError
from gateway.jsonstrict import Json, loads
from guards.errors import ErrorKind
from guards.verdict import PPM, Finding, Part, Scope, Verdict
from policies.model import Policy

_MOST_BYTES = 4 * 1024 * 1024
_SAYS = ("score", "categories", "error")
Given = dict[str, Json]
"""What the file says, by detector."""


class ScoresRefused(Exception):
    """The file cannot be used. The message is for whoever wrote it."""


def read_scores(file: Path, policy: Policy) -> Given:
    """By detector of the policy. Raises ScoresRefused, or OSError when the file cannot be read."""
    with file.open("rb") as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ScoresRefused(f"`{file}` is larger than {_MOST_BYTES} bytes")
    try:
        said = loads(data, max_depth=8)
    except GatewayError as exc:
        raise ScoresRefused(f"`{file}` is not JSON: {exc}") from exc
    if not isinstance(said, dict):
        raise ScoresRefused(f"`{file}` is not a JSON object, expected one with the names of detectors")
    for name, value in said.items():
        if name not in policy.detectors:
            raise ScoresRefused(f"`{name[:40]}` is no detector of policy `{policy.name}`")
        _check(name, value)
    return said


def _check(name: str, value: Json) -> None:
    """Every verdict in it is made once, so that what is wrong is found whatever parts there are."""
    part = Part(Scope.USER, "", "user", "")
    entries = value.items() if _is_by_place(value) and isinstance(value, dict) else [("", value)]
    for place, one in entries:
        if place and not place.startswith("/") and place not in set(Scope):
            raise ScoresRefused(f"detector `{name}`: `{place[:40]}` is neither a scope nor the path of a part")
        _finding(name, part, one)


def given_findings(given: Given, policy: Policy, parts: Iterable[Part]) -> list[Finding]:
    """What the file says of these parts, for every detector that the policy asks about them."""
    return [
        _finding(spec.name, part, said)
        for part in parts
        for spec in policy.detectors_for(part.scope)
        if (said := _about(given.get(spec.name), part)) is not None
    ]


def _is_by_place(value: Json) -> bool:
    return isinstance(value, dict) and not any(key in _SAYS for key in value)


def _about(value: Json, part: Part) -> Json:
    if isinstance(value, dict) and _is_by_place(value):
        return value.get(part.path, value.get(str(part.scope)))
    return value


def _finding(name: str, part: Part, said: Json) -> Finding:
    try:
        if not isinstance(said, dict):
            return Finding(name, part, Verdict(_ppm(said)))
        if unknown := sorted(said.keys() - set(_SAYS)):
            raise ValueError(f"unknown key `{unknown[0][:40]}`")
        if "error" in said:
            return Finding(name, part, None, ErrorKind(str(said["error"])))
        categories = said.get("categories", {})
        if not isinstance(categories, dict):
            raise ValueError("`categories` is no object, expected codes with scores")
        scores = tuple(sorted((code, _ppm(score)) for code, score in categories.items()))
        highest = max((score for _, score in scores), default=0)
        return Finding(name, part, Verdict(_ppm(said["score"]) if "score" in said else highest, scores))
    except ValueError as exc:
        raise ScoresRefused(f"detector `{name}`: {exc}") from exc


def _ppm(value: Json) -> int:
    try:
        scaled = None if isinstance(value, bool) else Decimal(str(value)) * PPM
    except InvalidOperation:
        scaled = None
    if scaled is None or not 0 <= scaled <= PPM:
        raise ValueError("a score is no number 0 to 1")
    return int(scaled)
