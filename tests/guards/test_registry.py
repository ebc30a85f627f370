"""From names and options to guards, or a problem that names the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from guards.classifier import Classifier
from guards.errors import GuardSetupError
from guards.memory import Remembering
from guards.profiles.starter_injection import STARTER_INJECTION
from guards.registry import PROFILES, STARTER_DIRECTORIES, USES, ModelSource, build, check
from guards.verdict import Part, Scope
from tests.doubles import ClassifyHost, write_manifest, write_model

GOOD_OPTIONS: dict[str, dict[str, object]] = {
    "unicode": {"find": ["tags", "bidi"]},
    "special_tokens": {"families": ["llama4"], "extra": ["<extra>"]},
    "secrets": {"find": ["private_key", "cloud_key"]},
    "regex": {"pattern": r"\d+", "label": "number", "engine": "re2", "views": ["decoded"]},
    "entities": {"find": ["mrn", "ssn"], "locales": ["en-US"], "patterns": {"mrn": "M[0-9]{6}"}},
    "near": {"term": "cvv", "value": "[0-9]{3}", "within": 24, "label": "cvv"},
    "terms": {"words": ["Acme Corp"], "label": "name"},
    "size": {"words": 300},
    "starter_injection": {"max_windows": 4, "views": ["raw", "decoded"], "length_aware": "on", "overlap": 64},
    "starter_hazard": {},
    "shieldgemma": {"custom": {"C1": "a guideline"}},
    "policy_judge": {"custom": {"C1": "a policy of ours"}},
    "llama_guard_4": {"exclude": ["S13"], "custom": {"C1": "a hazard of ours"}},
}


@pytest.mark.parametrize("use", USES)
def test_every_name_is_accepted_with_its_options(use: str) -> None:
    check(use, GOOD_OPTIONS.get(use, {}))


@pytest.mark.parametrize("use", ["unicode", "special_tokens", "secrets"])
def test_rules_need_no_options(use: str) -> None:
    assert build(use, {}, {}).identity.use == use


@pytest.mark.parametrize(
    ("use", "options", "option"),
    [
        ("unicode", {"finds": ["tags"]}, "finds"),
        ("unicode", {"find": "tags"}, "find"),
        ("unicode", {"find": [1]}, "find"),
        ("unicode", {"find": ["nothing"]}, "find"),
        ("special_tokens", {"families": ["llama9"]}, "families"),
        ("secrets", {"find": []}, "find"),
        ("regex", {}, "pattern"),
        ("regex", {"pattern": 5}, "pattern"),
        ("regex", {"pattern": "("}, "pattern"),
        ("regex", {"pattern": "x", "engine": "pcre"}, "engine"),
        ("regex", {"pattern": "x", "label": ""}, "label"),
        ("regex", {"pattern": "x", "views": ["mirrored"]}, "views"),
        ("starter_hazard", {"max_windows": 0}, "max_windows"),
        ("starter_hazard", {"max_windows": True}, "max_windows"),
        ("starter_hazard", {"threshold": 1}, "threshold"),
        ("starter_hazard", {"views": ["mirrored"]}, "views"),
        ("starter_hazard", {"memory": "maybe"}, "memory"),
        ("llama_guard_9", {}, ""),
    ],
)
def test_a_wrong_option_is_named(use: str, options: dict[str, object], option: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        check(use, options)
    assert caught.value.option == option
    assert caught.value.guard == use


async def test_a_model_guard_is_built_from_its_directory_and_asks_its_endpoint(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    host = ClassifyHost("served", write_manifest(directory), lambda ids: [0.25, 0.75])
    source = ModelSource(directory, host.client(), "served", url="http://elsewhere/")

    guard = build("starter_injection", {}, {"starter_injection": source})

    assert isinstance(guard, Remembering)
    assert isinstance(guard.guard, Classifier)
    assert guard.identity.weights == host.weights
    (verdict,) = await guard.judge([Part(Scope.USER, "/m", "user", "hi")])
    assert verdict.score_ppm == 750_000


async def test_a_model_guard_remembers_unless_it_is_told_not_to(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    host = ClassifyHost("served", write_manifest(directory), lambda ids: [0.25, 0.75])
    sources = {"starter_injection": ModelSource(directory, host.client(), "served")}
    parts = [Part(Scope.USER, "/m", "user", "hi")]

    for options, calls in (({}, 1), ({"memory": "off"}, 2)):
        host.calls.clear()
        guard = build("starter_injection", options, sources)
        assert await guard.judge(parts) == await guard.judge(parts)
        assert len(host.calls) == calls
    with pytest.raises(GuardSetupError, match="memory"):
        build("starter_injection", {"memory": "sometimes"}, sources)


def test_a_model_guard_without_an_endpoint_is_refused() -> None:
    with pytest.raises(GuardSetupError, match="no endpoint"):
        build("starter_hazard", {}, {})


def test_each_shipped_model_has_a_directory() -> None:
    assert set(STARTER_DIRECTORIES) <= set(PROFILES)
