"""Which detectors are evaluated, and whose threshold counts."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gateway.evaluate.detectors import UNSAID_PPM, Wanted, _thresholds, bench, of_policy, of_uses
from gateway.evaluate.errors import EvaluationError
from guards.classifier import Classifier
from guards.errors import ErrorKind
from guards.registry import STARTER_DIRECTORIES, ModelSource
from policies.load import load_policy, parse_policy
from policies.model import Policy
from tests.doubles import ScriptedGuard

DEFAULT = Path(__file__).parents[3] / "policies" / "library" / "default.yaml"
NO_THRESHOLD = b"""\
gatehouse: policy/v1
name: bare
version: 1.0.0
owner: tests@gatehouse.example
detectors: {inject: {use: starter_injection}}
rules:
  - {id: r, on: [user], when: {inject: {score: {gte: 0.4}}}, do: {block: {code: x}}}
  - {id: pass, on: [user, output], do: allow}
"""


def default() -> Policy:
    return load_policy(DEFAULT)


def sources() -> dict[str, ModelSource]:
    return {use: ModelSource(path, httpx.AsyncClient(), use) for use, path in STARTER_DIRECTORIES.items()}


def test_a_detector_of_the_policy_has_its_threshold_and_timeout() -> None:
    (wanted,) = of_policy(default(), ["inject"])
    subject = bench(wanted, sources()).subject
    assert (subject.name, subject.use, subject.threshold_ppm) == ("inject", "starter_injection", 545_000)
    assert (subject.threshold_from, subject.timeout_ms, subject.is_model) == ("policy", 5000, True)
    assert subject.weights.startswith("sha256:")


def test_a_policy_without_a_threshold_leaves_it_to_the_model_card() -> None:
    (wanted,) = of_policy(parse_policy(NO_THRESHOLD, "bare.yaml"), ["inject"])
    assert wanted.threshold_ppm is None
    subject = bench(wanted, sources()).subject
    assert (subject.threshold_ppm, subject.threshold_from) == (545_000, "model card")


def test_the_command_comes_before_all_others() -> None:
    (wanted,) = of_policy(default(), ["inject"])
    subject = bench(wanted, sources(), 400_000).subject
    assert (subject.threshold_ppm, subject.threshold_from) == (400_000, "command line")


def test_a_guard_named_directly_has_the_thresholds_of_its_card() -> None:
    (wanted,) = of_uses(["starter_hazard"])
    subject = bench(wanted, sources()).subject
    assert (subject.name, subject.threshold_ppm, subject.threshold_from) == ("starter_hazard", 705_000, "model card")
    assert subject.category_threshold("S13") == 300_000


def test_a_rule_flags_what_it_finds() -> None:
    subject = bench(of_uses(["secrets"])[0], {}).subject
    assert (subject.threshold_ppm, subject.threshold_from, subject.is_model) == (1_000_000, "a rule", False)
    (wanted,) = of_policy(default(), ["creds"])
    assert bench(wanted, {}).subject.threshold_from == "policy"


def test_nothing_is_remembered_between_rows() -> None:
    """A remembered verdict takes no time: latency and throughput would be those of the memory."""
    for use in STARTER_DIRECTORIES:
        guard = bench(Wanted(use, use), sources()).guard
        assert isinstance(guard, Classifier)
        assert guard.window_counts is None


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match=r"has no detector `injct` \(did you mean `inject`\?\)"):
        of_policy(default(), ["injct"])
    with pytest.raises(EvaluationError, match="it has creds, harm, hidden, inject, tokens"):
        of_policy(default(), ["zzz"])


@pytest.mark.parametrize(
    ("use", "problem"),
    [("nonsense", "there is no such guard"), ("regex", "missing"), ("starter_hazard", "no endpoint is configured")],
)
def test_a_guard_that_cannot_be_built_says_why(use: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        bench(Wanted(use, use), {})


def test_a_guard_without_a_card_is_cut_in_the_middle() -> None:
    found = _thresholds(Wanted("x", "llama_guard_4"), ScriptedGuard("x", {"a": ErrorKind.TIMEOUT}), None)
    assert found == (UNSAID_PPM, "default", {})
