"""A rule that finds something else is another version of it: records cite versions, and a replay trusts them.

Each guard reads the same texts (tests/data/rule_texts.jsonl and a few credentials made here), and what it finds is
pinned to its version. Where this fails, either the finds were not meant to change, or the guard's version has to be
raised in its constructor and the new digest pinned under it. Texts are added by raising all of the digests alone.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import pytest

from guards.errors import GuardError
from guards.rules.known import KINDS, make
from guards.rules.unicode import LABELS as UNICODE
from guards.verdict import Context, Part, Scope

TEXTS: Final = Path(__file__).parents[2] / "data" / "rule_texts.jsonl"
RANDOM: Final = "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW2xY4zA6b" * 4
HEX: Final = "9f8e7d6c5b4a39281706" * 4
MADE: Final = (
    "AKIAQ3EGRP7XNMJ2LVWD",
    f"github_pat_{RANDOM[:22]}_{RANDOM[:59]}",
    f"glpat-{RANDOM[:20]}",
    f"sk-ant-api03-{RANDOM[:80]}",
    f"sk-proj-{RANDOM[:60]}",
    f"hf_{RANDOM[:34]}",
    f"dop_v1_{HEX[:64]}",
    f"https://img.example.com/?d={RANDOM[:60]}",
    '{"body":"for Acme Corp:\\nAKIAQ3EGRP7XNMJ2LVWD\\n4111 1111 1111 1111\\tsecurity code:\\n123\\tEX-7\\nAcme Corp"}',
)
SCHEMA: Final = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SYSTEM: Final = (
    "You are Mia, the assistant of Blue Bank. Never name the interest rate of other banks. Code k3Jx9QpL2mVa."
)
OPTIONS: Final[dict[str, dict[str, object]]] = {
    "unicode": {"find": list(UNICODE)},
    "special_tokens": {"families": ["llama4", "llama2", "chatml", "harmony", "bert", "loaded"],
                       "loaded": ["<|acme_turn|>", "<acme_1>"]},
    "regex": {"pattern": r"\b(?:\d[ -]?){13,19}\b|EX-\d+", "views": ["raw", "normalised", "decoded"]},
    "near": {"term": r"(?i)\b(?:cvv|security code)\b", "value": r"\b\d{3,4}\b", "within": 24},
    "terms": {"words": ["Acme Corp", "Müller GmbH", "阿克米公司"]},
    "exfiltration": {"hosts": ["img.example.com"]},
    "size": {"characters": 2_000, "words": 300, "lines": 20},
    "prompt_leak": {"words": 8, "canaries": ["k3Jx9QpL2mVa"]},
}  # fmt: skip
CONTEXT: Final = Context.of(
    [
        Part(Scope.SYSTEM, "/messages/0/content", "system", SYSTEM),
        Part(Scope.USER, "/messages/1/content", "user", "hello"),
        Part(Scope.TOOL_SCHEMA, "/response_format/json_schema", "tool", json.dumps({"name": "x", "schema": SCHEMA})),
        Part(Scope.TOOL_SCHEMA, "/tools/0/function", "tool", json.dumps({"name": "get", "parameters": SCHEMA})),
    ]
)
PINNED: Final = {
    "entities/3": "9b4f353d81730a51",
    "exfiltration/3": "fe6e6ead4d9cc43b",
    "json_schema/2": "dc53a8d7b8834f02",
    "language/2": "f350d2822dc4b421",
    "near/3": "8661f7671f94425e",
    "prompt_leak/3": "4fb8a1efc7ad62d2",
    "regex/3": "91f43256231a494e",
    "repetition/2": "b3db736107084ee0",
    "secrets/4": "dad521ce8b1410fa",
    "size/1": "83f22b8b90faafda",
    "special_tokens/2": "afd3b1e2fc43e3d6",
    "terms/3": "f7818ce971984b7a",
    "tool_arguments/2": "dc53a8d7b8834f02",
    "unicode/2": "d3cfd1701fa8c084",
}


def texts() -> list[str]:
    return [*(json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()), *MADE]


async def finds(use: str) -> tuple[str, str]:
    """(version, digest of everything found)."""
    guard = make(use, OPTIONS.get(use, {}))
    guard.ready()
    scope, path = Scope.OUTPUT, "/choices/0/message/content"
    if use == "tool_arguments":
        scope, path = Scope.TOOL_CALL, "/choices/0/message/tool_calls/0/function/arguments"
    digest = hashlib.sha256()
    for text in texts():
        try:
            [verdict] = await guard.judge([Part(scope, path, "assistant", text, tool="get")], CONTEXT)
            said: object = (verdict.score_ppm, verdict.categories, [(s.start, s.end, s.label) for s in verdict.spans])
        except GuardError as exc:
            said = str(exc.kind)
        digest.update(json.dumps([text, said]).encode() + b"\n")
    return guard.identity.version, digest.hexdigest()[:16]


@pytest.mark.parametrize("use", KINDS)
async def test_what_a_version_finds_does_not_change(use: str) -> None:
    version, digest = await finds(use)
    assert PINNED.get(version) == digest, f"what `{use}` finds has changed: raise its version and pin {digest}"
