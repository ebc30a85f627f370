"""A reason is said at once, and then once a minute with how often it came."""

from __future__ import annotations

from structlog.testing import capture_logs

from guards.complaints import PAUSE_S, Complaints
from guards.errors import ErrorKind


def test_the_first_is_said_at_once_and_what_follows_is_counted() -> None:
    now = [5.0]
    complain = Complaints(lambda: now[0])
    with capture_logs() as logs:
        for _ in range(3):
            complain("harm", ErrorKind.BAD_ANSWER, "the answer is not JSON")
        complain("harm", ErrorKind.TIMEOUT, "no verdict in time")
        now[0] += PAUSE_S
        complain("harm", ErrorKind.BAD_ANSWER, "the endpoint answered 404")
    said = [(line["event"], line["detector"], line["kind"], line["problem"], line["times"]) for line in logs]
    assert said == [
        ("guard_gave_no_verdict", "harm", "bad_answer", "the answer is not JSON", 1),
        ("guard_gave_no_verdict", "harm", "timeout", "no verdict in time", 1),
        ("guard_gave_no_verdict", "harm", "bad_answer", "the endpoint answered 404", 3),
    ]
