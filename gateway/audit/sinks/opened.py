"""From settings to the sink that they describe."""

from __future__ import annotations

from gateway.audit.files import Files
from gateway.audit.sinks.directory import DirectorySink
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.settings import DirectoryPlace, ObjectPlace, Place, StreamPlace
from gateway.audit.sinks.sink import Sink
from gateway.audit.sinks.syslog import SyslogSink


def make_sink(place: Place, local: LocalLog, files: Files) -> Sink:
    """Contacts nothing."""
    if isinstance(place, DirectoryPlace):
        return DirectorySink(place.path, files)
    if isinstance(place, ObjectPlace):
        # An extra of the package: who keeps no copy in a bucket does not need its client.
        from gateway.audit.sinks.objects import ObjectSink

        return ObjectSink(place, local.origin)
    if isinstance(place, StreamPlace):
        # An extra as well.
        from gateway.audit.sinks.streamed import StreamSink

        return StreamSink(place)
    return SyslogSink(place, local.origin)
