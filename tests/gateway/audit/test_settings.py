"""Settings that would let the log's key, or its second head, travel with the log are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.settings import AuditSettings


def test_keys_and_head_store_lie_outside_the_log(tmp_path: Path) -> None:
    AuditSettings(tmp_path / "log", "a/b", tmp_path / "keys" / "audit.pem")
    with pytest.raises(ValueError, match="inside the log directory"):
        AuditSettings(tmp_path, "a", tmp_path / "keys" / "audit.pem")
    with pytest.raises(ValueError, match="inside the log directory"):
        AuditSettings(tmp_path / "log", "a", tmp_path / "audit.pem", head_store=tmp_path / "log" / "x")


@pytest.mark.parametrize(
    "more", [{"origin": "a b"}, {"origin": "../a"}, {"segment_bytes": 10}, {"low_space": 1.0}, {"epoch_s": 0}]
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        AuditSettings(**{"directory": tmp_path / "log", "origin": "a", "key_path": tmp_path / "k", **more})  # type: ignore[arg-type]
