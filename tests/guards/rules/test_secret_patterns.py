"""The checks behind the patterns."""

from __future__ import annotations

import pytest

from guards.rules.base import compile_re2
from guards.rules.secret_patterns import GROUPS, LABELS, NAMED, SHAPES, is_real_shape, is_real_value


@pytest.mark.parametrize("label", LABELS)
def test_every_pattern_is_re2_and_matches_no_empty_text(label: str) -> None:
    pattern = compile_re2((SHAPES | NAMED)[label])

    assert pattern.search("") is None
    assert pattern.groups == (0 if label in SHAPES else pattern.groups)


def test_groups_stand_for_labels_that_exist() -> None:
    assert {label for labels in GROUPS.values() for label in labels} <= set(LABELS)
    assert not set(GROUPS) & set(LABELS)


def test_a_weak_name_needs_a_random_value() -> None:
    assert not is_real_value("password_assignment", "token", "short1", quoted=True)
    assert is_real_value("password_assignment", "token", "q1W2e3R4t5Y6u7", quoted=True)
    assert is_real_value("password_assignment", "password", "swordfish", quoted=True)
    assert not is_real_value("password_assignment", "password", "swordfish", quoted=False)


def test_examples_in_documentation_are_not_credentials() -> None:
    assert not is_real_shape("aws_key", "AKIAIOSFODNN7EXAMPLE")
    assert not is_real_shape("github_token", "ghp_" + "0" * 36)
