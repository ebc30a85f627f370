"""One recorded decision, made again: the same under the policy that decided, with reasons where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.commands.audit_replay import differences
from gateway.entries import policy_identity
from gateway.policy_copies import DIRECTORY, keep_copy
from policies.load import load_policy
from policies.model import Action, Decision
from tests.gateway.audit.harness import opened, put_test_key
from tests.gateway.test_replay import LIBRARY, scored

DEFAULT = LIBRARY / "default.yaml"


def made(path: Path, **more: Any) -> list[str]:
    """A log with an allowed and a blocked request, and the copy of the policy that the gateway keeps."""
    policy = load_policy(DEFAULT)
    keep_copy(path / DIRECTORY, DEFAULT.read_bytes(), policy.source_digest)
    put_test_key(path)
    log = opened(path)
    for ppm in (1_000, 600_000):
        record = {key: value for key, value in scored(ppm).items() if key != "seq"}
        log.writer.write([record | {"policy": policy_identity(policy)} | more])
    log.close()
    return ["audit", "replay", "--dir", str(path / "log")]


def test_a_decision_comes_out_as_it_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = made(tmp_path)
    assert main([*command, "2"]) == 0
    out = capsys.readouterr().out
    assert "the one cited\nsame as recorded\n\nblock prompt_attack, status 400, by injection-user" in out
    assert main([*command, "r", "--json"]) == 0
    both = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["same"], one["decision"]["action"]) for one in both] == [(True, "allow"), (True, "block")]


def test_a_record_that_does_not_follow_from_its_scores_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody recorded another decision than the policy makes: the scores give it away."""
    decision = {"action": "allow", "outcome": "allow", "rules": [], "code": None, "flags": [], "shadow": []}
    command = made(tmp_path, decision=decision)
    assert main([*command, "2"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERENT from what is recorded\n  action: recorded allow, now block" in out
    assert "rules: recorded none, now injection-user" in out


def test_another_policy_is_said_to_be_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = tmp_path / "edited.yaml"
    edited.write_text(DEFAULT.read_text().replace("0.545", "0.7"))
    command = made(tmp_path)
    assert main([*command, "2", "--policy", str(edited), "--json"]) == 1
    [one] = map(json.loads, capsys.readouterr().out.splitlines())
    assert (one["policy"]["is_the_one_cited"], one["same"]) == (False, False)
    assert {"what": "action", "was": "block", "now": "allow"} in one["differences"]


def test_what_cannot_be_made_again_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = made(tmp_path)
    assert main([*command, "2", "--policies", str(tmp_path / "nowhere")]) == 2
    assert "no copy of the policy sha256:" in capsys.readouterr().out
    assert main([*command, "99"]) == 2
    assert "no decision has the number or request id `99`" in capsys.readouterr().err
    assert main([*command, "2", "--policy", str(tmp_path / "none.yaml")]) == 5
    assert "the policy cannot be loaded" in capsys.readouterr().err


def test_a_copy_that_was_changed_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = made(tmp_path)
    [copy] = (tmp_path / DIRECTORY).glob("*.yaml")
    copy.write_bytes(copy.read_bytes() + b"\n")
    assert main([*command, "2"]) == 2
    assert "no copy of the policy" in capsys.readouterr().out


def test_lists_that_were_cut_in_the_record_are_compared_as_far_as_they_go() -> None:
    now = Decision(Action.BLOCK, rules=("a", "b", "c"), code="hazard", status=400)
    assert list(differences({"action": "block", "code": "hazard", "rules": ["a", "b"], "rules_n": 3}, now)) == []
    [one] = differences({"action": "block", "code": "hazard", "rules": ["a", "b"]}, now)
    assert (one.what, one.was, one.now) == ("rules", ["a", "b"], ["a", "b", "c"])
