"""The schema takes what the loader takes of reviews, and refuses what it refuses."""

from __future__ import annotations

import pytest

from policies.schema_reviews import ACCEPT_RISK, ON_ERROR, review_form
from tests.policies.json_schema import Schema

RISK = {"by": "ciso", "ticket": "R-1", "until": "2026-12-31"}


@pytest.mark.parametrize("said", ["closed", "review", "open", {"review": {"queue": "q", "quorum": 2}}])
def test_on_error_is_a_word_or_says_who(said: object) -> None:
    assert Schema(ON_ERROR["on_error"]).accepts(said)


@pytest.mark.parametrize("said", ["maybe", {"review": {}}, {"review": {"queue": "q", "hold": "request"}}, {"open": {}}])
def test_anything_else_is_refused(said: object) -> None:
    assert not Schema(ON_ERROR["on_error"]).accepts(said)


def test_a_review_says_what_waits_and_a_risk_who_accepts_it() -> None:
    said = {"queue": "q", "hold": "request", "on_timeout": "allow", "accept_risk": RISK}
    assert Schema(review_form(held=True)).accepts(said)
    assert not Schema(review_form(held=True)).accepts({"queue": "q"})
    assert not Schema(ACCEPT_RISK).accepts({"by": "ciso"})
