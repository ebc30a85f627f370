"""Hosts that are this machine; what a sink of kind `nats` needs is in test_sink_settings.py, where it is read."""

from __future__ import annotations

import pytest

from gateway.stream_settings import is_loopback


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("gate.example", False),
        ("", False),
    ],
)
def test_only_this_machine_is_this_machine(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours
