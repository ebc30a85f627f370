"""Which failures somebody has to look at now."""

from __future__ import annotations

import pytest

from gateway.audit.anchors.errors import AnchorError


@pytest.mark.parametrize(
    ("code", "is_alarm"), [("anchor_fork", True), ("anchor_ahead", True), ("anchor_unreachable", False)]
)
def test_what_contradicts_the_log_is_an_alarm(code: str, is_alarm: bool) -> None:
    assert AnchorError(code, "told").is_alarm is is_alarm
