"""A policy of one's own to begin with: one of the library under a new name, its comments and tests kept.

What comes of it loads, or StartRefused says why; nothing is written here. The library is read from the package, never
from elsewhere.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from policies.errors import PolicyErrors
from policies.load import parse_policy
from policies.model import Policy

LIBRARY: Final = Path(__file__).parent / "library"
FIRST_VERSION: Final = "1.0.0"
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9@._+-]*")
"""Text that YAML reads as itself."""
_PINNED: Final = re.compile(r"(?m)^[\s{-]*(?:list|corpus): ([\w.-]+)@sha256:")


class StartRefused(Exception):
    """The answers make no policy. The message says which and why."""


def templates() -> tuple[str, ...]:
    """Names of the policies to begin with, the usual one first."""
    names = sorted(file.stem for file in LIBRARY.glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: name != "default"))


def beside(template: str) -> tuple[Path, ...]:
    """The lists and corpora that a template pins; they have to lie beside what is made from it."""
    text = (LIBRARY / f"{template}.yaml").read_text(encoding="utf-8")
    return tuple(LIBRARY / name for name in sorted(set(_PINNED.findall(text))))


def started(template: str, name: str, owner: str) -> tuple[str, Policy]:
    """The file's text, and the policy it is. Raises StartRefused."""
    if template not in templates():
        raise StartRefused(f"`{template[:40]}` is no template, expected one of {', '.join(templates())}")
    text = (LIBRARY / f"{template}.yaml").read_text(encoding="utf-8")
    for key, value in (("name", name), ("version", FIRST_VERSION), ("owner", owner)):
        text = _with(text, key, value)
    text = _head(template) + text
    try:
        return text, parse_policy(text.encode(), str(LIBRARY / "policy"))
    except PolicyErrors as exc:
        raise StartRefused("; ".join(problem.problem for problem in exc.problems)) from exc


def _with(text: str, key: str, value: str) -> str:
    """The value of a key at the top of the file replaced; a comment behind it stays."""
    written = value if _PLAIN.fullmatch(value) or key == "version" else json.dumps(value, ensure_ascii=False)
    found, count = re.subn(rf"(?m)^{key}:[ ]+\S+", lambda _: f"{key}: {written}", text, count=1)
    if count != 1:
        raise AssertionError(f"a library policy has no line `{key}:`")
    return found


def _head(template: str) -> str:
    return f"""\
# Made by `gatehouse policy new` from the library's `{template}` policy, and yours from here. What to look at first:
#
#   THRESHOLD    marks the numbers that decide how much is stopped; `gatehouse calibrate` chooses one on your texts
#   on:          which parts each rule looks at
#   message:     what your users read
#   tests:       a case for each thing you change; `gatehouse policy test --require-tests` names rules without one
#
# What follows is how the library explains it.

"""
