"""Errors of sinks carry a code, and know whether waiting helps."""

from __future__ import annotations

from gateway.audit.sinks.errors import SinkConflict, SinkError, SinkFull


def test_every_error_has_a_code_and_a_problem() -> None:
    for error in (SinkError("sink_failed", "p"), SinkConflict("sink_changed", "p"), SinkFull("p")):
        assert (error.problem, str(error)) == ("p", "p")
        assert error.code.startswith("sink_")
    assert not isinstance(SinkFull("p"), SinkConflict)
