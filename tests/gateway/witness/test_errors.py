"""What a refusal carries."""

from __future__ import annotations

from gateway.witness.errors import Refused


def test_a_conflict_says_what_was_seen() -> None:
    refused = Refused(409, "the head seen last has 7 records", seen=7)
    assert (refused.status, refused.seen, str(refused)) == (409, 7, "the head seen last has 7 records")
    assert Refused(404, "unknown").seen is None
