"""What /metrics tells of the audit log itself: whether it records, its room, its key's end, its second places."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.audit.log import AuditLog


class AuditMetrics(Collector):
    """Asked at each scrape; costs the log nothing in between."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        room, epoch = self._log.room, self._log.epoch
        recording = 1 if self._log.state == "ok" else 0
        yield GaugeMetricFamily("gatehouse_audit_recording", "1 when an exchange can begin and be recorded.", recording)
        yield GaugeMetricFamily("gatehouse_audit_free_bytes", "Room on the log's disk, when last looked at.", room.free)
        low = 0 if room.state == "ok" else 1
        yield GaugeMetricFamily("gatehouse_audit_space_low", "1 below the mark `low_space`.", low)
        yield from self._of_sinks()
        if epoch.number >= 0:
            ends_s = epoch.until_ns / 1e9
            yield GaugeMetricFamily(
                "gatehouse_audit_epoch_ends", "When the key that signs now may not any more.", ends_s
            )

    def _of_sinks(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("gatehouse_audit_sink_up", "1 when a second place keeps up.", labels=("sink",))
        lag = GaugeMetricFamily("gatehouse_audit_sink_lag", "Records that a second place lacks.", labels=("sink",))
        for sink in self._log.sinks:
            up.add_metric((sink.name,), 1 if sink.up else 0)
            lag.add_metric((sink.name,), sink.lag)
        return (up, lag)
