"""Every kind of sink is a Sink: the type checker says so for ours, this for what a worker calls."""

from __future__ import annotations

import pytest

from gateway.audit.sinks.directory import DirectorySink
from gateway.audit.sinks.objects import ObjectSink
from gateway.audit.sinks.sink import Sink
from gateway.audit.sinks.syslog import SyslogSink
from tests.gateway.audit.sinks.places import ScriptedSink


@pytest.mark.parametrize("kind", [DirectorySink, ObjectSink, SyslogSink, ScriptedSink])
def test_kind_has_everything_a_worker_calls(kind: type) -> None:
    calls = [name for name in vars(Sink) if not name.startswith("_") and name != "window_s"]
    assert len(calls) > 7
    assert [name for name in calls if not hasattr(kind, name)] == []
