"""A policy becomes guards or is refused before anything changes; test_policy_in_force.py has the whole way."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.guard_settings import shipped
from gateway.policy_builder import PolicyBuilder
from gateway.policy_copies import copy_of
from gateway.policy_source import Found
from guards.errors import GuardSetupError
from guards.registry import ModelSource
from policies.load import parse_policy
from tests.doubles import ClassifyHost, write_manifest, write_model
from tests.gateway.bundles.making import POLICY


def found(text: bytes) -> Found:
    return Found(parse_policy(text, "p.yaml"), text)


def by_model(use: str) -> Found:
    told = POLICY.replace(b"use: regex, pattern: 'forbidden'", f"use: {use}, threshold: 0.5".encode())
    return found(told.partition(b"tests:")[0].replace(b"{count: {gte: 1}}", b"{unsafe: true}"))


def test_a_policy_of_rules_is_built_and_its_text_kept(tmp_path: Path) -> None:
    given = found(POLICY)
    built = PolicyBuilder(shipped(), {}, copies=tmp_path).built(given)
    assert (built.policy, set(built.identities), built.told) == (given.policy, {"words"}, None)
    copy = copy_of(tmp_path, given.policy.source_digest)
    assert copy is not None


def test_a_model_that_was_not_started_with_the_first_policy_is_missing_later(tmp_path: Path) -> None:
    """The model host runs what the policy at the start asked for."""
    known = shipped()
    profile = known["starter_injection"].profile
    directory = write_model(tmp_path / "m", profile)  # type: ignore[arg-type] # a classifier's
    host = ClassifyHost("m", write_manifest(directory), lambda ids: [0.5, 0.5])
    builder = PolicyBuilder(known, {"starter_injection": ModelSource(directory, host.client(), "m")})
    assert builder.built(by_model("starter_injection")).identities["words"].use == "starter_injection"
    builder.started_with(found(POLICY).policy)
    with pytest.raises(GuardSetupError, match="a restart loads it"):
        builder.built(by_model("starter_injection"))


def test_a_class_that_nothing_is_kept_in_is_refused() -> None:
    keeps = found(POLICY + b"defaults: {audit: {content: sealed, retention: hipaa-6y}}\n")
    with pytest.raises(ConfigError, match="`hipaa-6y`"):
        PolicyBuilder(shipped(), {}, classes=("default",)).built(keeps)
    assert PolicyBuilder(shipped(), {}, classes=("hipaa-6y",)).built(keeps).policy.audit.keeps
