"""Small policies and findings for the tests of this folder."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

import pytest

from guards.errors import ErrorKind
from guards.verdict import PPM, Finding, Part, Scope, Span, Verdict
from policies.errors import PolicyErrors
from policies.load import parse_policy
from policies.model import Facts, Policy

HEAD = "gatehouse: policy/v1\nname: small\nversion: '1'\n"
DETECTORS = """
inject: {use: starter_injection, threshold: 0.5}
harm: {use: starter_hazard, threshold: 0.5, categories: {S9: 0.2}}
hidden: {use: unicode}
creds: {use: secrets, find: [private_key, jwt, password_assignment]}
"""
USE_ALL = "{id: watch, mode: shadow, on: [system], when: {any: [{%s}]}, do: flag}"
CONDITIONS = {
    "inject": "inject: {unsafe: true}",
    "harm": "harm: {unsafe: true}",
    "hidden": "hidden: {count: {gte: 1}}",
    "creds": "creds: {count: {gte: 1}}",
}


def document(
    rules: str, detectors: str = DETECTORS, defaults: str = "", tests: str = "", watch: bool | None = None
) -> str:
    """A whole file. A shadow rule on `system` asks every standard detector, so that none is unused."""
    text = HEAD + defaults + "detectors:\n" + indent(dedent(detectors).strip(), "  ") + "\n"
    text += "rules:\n" + indent(dedent(rules).strip(), "  ") + "\n"
    if detectors is DETECTORS if watch is None else watch:
        asked = "}, {".join(CONDITIONS.values())
        text += "  - " + USE_ALL % asked + "\n"
    return text + (("tests:\n" + indent(dedent(tests).strip(), "  ") + "\n") if tests else "")


def policy_of(rules: str, **parts: Any) -> Policy:
    return parse_policy(document(rules, **parts).encode(), "p.yaml")


def problems_in(text: str | bytes) -> list[str]:
    """Each problem as the author reads it, without the file's name."""
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyErrors) as caught:
        parse_policy(data, "p.yaml")
    return [str(problem).removeprefix("p.yaml:") for problem in caught.value.problems]


def problems_of(rules: str, **parts: Any) -> list[str]:
    """As `problems_in`, without the places."""
    return [problem.split(": ", 1)[1] for problem in problems_in(document(rules, **parts))]


def part(text: str = "some text", scope: Scope = Scope.USER, path: str = "/messages/0/content") -> Part:
    return Part(scope, path, "user", text)


def says(
    detector: str,
    about: Part,
    score: int = 0,
    categories: dict[str, int] | None = None,
    spans: tuple[tuple[int, int, str], ...] = (),
) -> Finding:
    found = tuple(sorted(Span(*span) for span in spans))
    score = PPM if spans else score
    return Finding(detector, about, Verdict(score, tuple(sorted((categories or {}).items())), found))


def fails(detector: str, about: Part, kind: ErrorKind = ErrorKind.TIMEOUT) -> Finding:
    return Finding(detector, about, None, kind)


def facts(*parts: Part, tenant: str = "t", app: str = "a", model: str = "m", **more: Any) -> Facts:
    return Facts(parts, tenant, app, model, **more)
