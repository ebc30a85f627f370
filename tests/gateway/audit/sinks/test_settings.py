"""Sinks that could not do what is asked of them are refused before there is a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.sinks.settings import DirectoryPlace, ObjectPlace, SinkSettings, SinksSettings, SyslogPlace

SYSLOG = SyslogPlace("h", 1, Path("ca"))


def test_collector_cannot_be_required_nor_counted() -> None:
    with pytest.raises(ValueError, match="cannot be required"):
        SinkSettings("siem", SYSLOG, required=True)
    with pytest.raises(ValueError, match="expected 1 to 1"):
        SinksSettings((SinkSettings("siem", SYSLOG),), 2)


def test_quorum_and_names_have_to_be_possible() -> None:
    sink = SinkSettings("a", DirectoryPlace(Path("x")))
    assert SinksSettings((sink,), 2).require == 2
    for require in (0, 3):
        with pytest.raises(ValueError, match="expected 1 to 2"):
            SinksSettings((sink,), require)
    with pytest.raises(ValueError, match="same name"):
        SinksSettings((sink, sink))


def test_keys_of_a_store_are_not_shown() -> None:
    assert "hidden" not in repr(ObjectPlace("https://s", "b", "hidden", "hidden"))
