"""What an anchor may be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.anchors.settings import AnchorSettings, FileDrop


def test_a_limit_shorter_than_a_few_attempts_would_stop_the_gateway_for_nothing() -> None:
    with pytest.raises(ValueError, match="at least three times"):
        AnchorSettings("worm", FileDrop(Path("/mnt")), every_s=10, max_age_s=29)
    assert AnchorSettings("worm", FileDrop(Path("/mnt")), every_s=10, max_age_s=30).place.kind == "file"
