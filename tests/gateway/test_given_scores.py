"""Scores from a file stand in for guards, and a file that says something else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.given_scores import ScoresRefused, given_findings, read_scores
from guards.errors import ErrorKind
from guards.verdict import Part, Scope
from policies.load import load_policy

POLICY = load_policy(Path(__file__).parents[2] / "policies" / "library" / "default.yaml")
PARTS = (
    Part(Scope.USER, "/messages/0/content", "user", "a"),
    Part(Scope.TOOL_RESULT, "/messages/1/content", "tool", "b"),
)


def written(tmp_path: Path, said: Any) -> Path:
    file = tmp_path / "scores.json"
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    return file


def test_a_number_an_object_a_scope_and_a_path(tmp_path: Path) -> None:
    said = {
        "inject": {"/messages/1/content": 0.25, "tool_result": 1, "user": {"error": "timeout"}},
        "harm": {"score": 0.3, "categories": {"S9": 0.2, "S1": 0.000001}},
        "creds": {"output": 1},
    }
    found = given_findings(read_scores(written(tmp_path, said), POLICY), POLICY, PARTS)
    by = {(one.detector, one.part.path): one for one in found}
    assert by["inject", "/messages/1/content"].verdict.score_ppm == 250_000
    assert by["inject", "/messages/0/content"].error is ErrorKind.TIMEOUT
    assert by["harm", "/messages/0/content"].verdict.categories == (("S1", 1), ("S9", 200_000))
    assert not any(name == "creds" for name, _ in by)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("[1", "is not JSON"),
        ([1], "is not a JSON object"),
        ({"injekt": 0.5}, "`injekt` is no detector"),
        ({"inject": 1.5}, "detector `inject`: a score is no number 0 to 1"),
        ({"inject": True}, "a score is no number"),
        ({"inject": {"score": 0.5, "unsafe": True}}, "unknown key `unsafe`"),
        ({"inject": {"usr": 0.5}}, "`usr` is neither a scope nor the path of a part"),
        ({"inject": {"error": "tired"}}, "detector `inject`: 'tired' is not a valid ErrorKind"),
        ({"harm": {"categories": ["S1"]}}, "`categories` is no object"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path: Path, said: Any, problem: str) -> None:
    with pytest.raises(ScoresRefused, match=problem):
        read_scores(written(tmp_path, said), POLICY)
