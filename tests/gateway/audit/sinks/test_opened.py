"""Each kind of place becomes its sink, and none is contacted by that."""

from __future__ import annotations

from pathlib import Path

from gateway.audit.files import OsFiles
from gateway.audit.sinks.directory import DirectorySink
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.objects import ObjectSink
from gateway.audit.sinks.opened import make_sink
from gateway.audit.sinks.settings import DirectoryPlace, ObjectPlace, StreamPlace, SyslogPlace
from gateway.audit.sinks.streamed import StreamSink
from gateway.audit.sinks.syslog import SyslogSink


def test_each_place_gets_its_sink(tmp_path: Path) -> None:
    local, files = LocalLog(tmp_path, "a"), OsFiles()
    nowhere = "http://127.0.0.1:9"
    assert isinstance(make_sink(DirectoryPlace(tmp_path / "gone"), local, files), DirectorySink)
    assert isinstance(make_sink(SyslogPlace("127.0.0.1", 9, tmp_path / "ca"), local, files), SyslogSink)
    objects = make_sink(ObjectPlace(nowhere, "bucket", "a", "s", window_s=0.5), local, files)
    assert isinstance(objects, ObjectSink)
    assert objects.window_s == 0.5
    stream = make_sink(StreamPlace(("nats://127.0.0.1:9",), "S", "audit"), local, files)
    assert isinstance(stream, StreamSink)
    stream.close()
