"""Errors carry what a program needs to decide, beside the words."""

from __future__ import annotations

from gateway.audit.errors import AuditError, AuditUnavailable, SegmentLost


def test_start_errors_have_a_code_and_runtime_errors_share_one() -> None:
    assert AuditError("audit_locked", "`x` is in use").code == "audit_locked"
    assert AuditUnavailable("no room").code == "audit_unavailable"
    assert issubclass(SegmentLost, AuditUnavailable)
    assert str(AuditUnavailable("no room")) == "audit log unavailable: no room"
