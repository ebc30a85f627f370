"""What is asked of a running gateway, and printed of its answers; with a real one in tests/e2e/test_trials.py."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from gateway import cli
from gateway.commands.in_force import _hours, _lines, _percent

POLICY = {"name": "house", "version": "2", "compiled_digest": "sha256:aa", "src_digest": "sha256:bb"}
BUNDLE = {"digest": "sha256:cc", "counter": 2, "signers": ["alice", "bob"], "weaker": True, "rollback": False}
TRIAL: dict[str, Any] = {
    "policy": POLICY | {"version": "3"},
    "bundle": BUNDLE | {"counter": 3, "weaker": False},
    "by": "tenant",
    "share_ppm": 100_000,
    "tenants": 2,
    "tenants_of": 20,
    "until": "1800000000000000000",
    "max_flips_ppm": 10_000,
    "max_errors_ppm": 5_000,
    "exchanges": 130,
    "flips": 1,
    "unknown": 5,
    "errors": 0,
    "flipped": [{"was": "allow", "now": "block words", "n": 1}],
}


def test_a_policy_of_a_file_has_no_bundle() -> None:
    assert _lines({"policy": POLICY}) == ["in force: house 2", "  sha256:aa"]


def test_policies_for_some_callers_are_listed_and_told_apart() -> None:
    bound = {"name": "wards", "tenants": ["a", "b"], "apps": ["chat"], "policy": POLICY}
    assert (
        _lines({"policy": POLICY, "bindings": [bound]})[-1] == "bound as wards: house 2, for tenant a, b and app chat"
    )
    assert _lines({"policy": POLICY, "binding": "wards"})[0] == "in force for wards: house 2"


def test_evaluations_are_told_with_those_that_were_not_run() -> None:
    told = _lines({"policy": POLICY, "bundle": BUNDLE | {"evals": {"held": 2, "not_run": 1}}})
    assert told[-1] == "  evaluations that hold: 2; 1 not run, they need a model"


def test_a_trial_is_told_with_its_bounds_and_counts() -> None:
    assert _lines({"policy": POLICY, "bundle": BUNDLE, "trial": TRIAL, "history": ["sha256:1", "sha256:2"]}) == [
        "in force: house 2",
        "  sha256:aa",
        "bundle 2, signed by alice, bob, weaker than the one before",
        "  sha256:cc",
        "on trial: house 3",
        "  sha256:aa",
        "bundle 3, signed by alice, bob",
        "  sha256:cc",
        "for 10% of tenants (2 of 20) until 2027-01-15 08:00:00 UTC",
        "130 exchanges, 125 compared: 1 flips (0.80%) of at most 1%, 0 errors (0.00%) of at most 0.5%",
        "  allow -> block words: 1",
        "before: sha256:2",
        "before: sha256:1",
    ]


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.5%", 0.005), ("7", 0.07), ("0%", 0.0), ("100%", 1.0)])
def test_percentages_are_read(text: str, value: float) -> None:
    assert _percent(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ten", "101%", "-1%", "nan", "inf", "10%%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a percentage"):
        _percent(text)


def test_hours_have_an_end() -> None:
    assert _hours("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="at most 720"):
        _hours("721")


def test_a_rollback_is_of_a_trial_or_to_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["policy", "rollback", "--trial", "--to", "sha256:aa"])
    assert "not allowed with" in capsys.readouterr().err
