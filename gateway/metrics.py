"""Counters and histograms for /metrics. Labels come from fixed sets: no tenant text, no model text, no prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from guards.memory import Counts

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """One registry for one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.everywhere: Callable[[], Awaitable[bytes]] | None = None
        """Where this process is one of several: how all of them are asked."""
        self.exchanges = Counter(
            "gatehouse_exchanges", "Finished exchanges.", ("route", "outcome", "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "gatehouse_exchange_seconds",
            "From the whole request to the last byte of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "gatehouse_in_flight", "Exchanges that have begun and not ended.", registry=self.registry
        )
        self.guard_errors = Counter(
            "gatehouse_guard_errors", "Decisions that lacked a verdict.", ("detector", "kind"), registry=self.registry
        )
        self.records = Counter(
            "gatehouse_audit_records", "Records made durable by this process.", registry=self.registry
        )
        self.ready = Gauge("gatehouse_ready", "1 when /readyz answers 200.", registry=self.registry)
        self.reloads = Counter(
            "gatehouse_policy_reloads",
            "Policy reloads; `binding` is empty for the policy for everybody.",
            ("outcome", "binding"),
            registry=self.registry,
        )
        self.trials = Counter(
            "gatehouse_policy_trials",
            "Trials of policies, begun and ended.",
            ("outcome", "binding"),
            registry=self.registry,
        )
        self.auth_suppressed = Counter(
            "gatehouse_auth_records_suppressed", "Failed log-ins beyond the recorded rate.", registry=self.registry
        )
        self.refusals_suppressed = Counter(
            "gatehouse_refusal_records_suppressed",
            "Refusals beyond what is recorded while the audit log's disk has no room.",
            registry=self.registry,
        )

    def watch_memories(self, counts: Callable[[], Mapping[str, Mapping[str, Counts]]]) -> None:
        """Ask for the guards' memories at each scrape: detector -> what is remembered -> counts."""
        self.registry.register(_Memories(counts))

    def watch_anchors(self, ages: Callable[[], Mapping[str, float]]) -> None:
        """Ask for the age of each of the audit log's anchors at each scrape: name -> seconds."""
        self.registry.register(_AnchorAges(ages))

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    async def told(self) -> bytes:
        """The same, of all processes where there are several. Raises GatewayError when they cannot be asked."""
        return self.exposition() if self.everywhere is None else await self.everywhere()


class _AnchorAges(Collector):
    """How long ago each anchor had its last success."""

    def __init__(self, ages: Callable[[], Mapping[str, float]]) -> None:
        self._ages = ages

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for name, age_s in self._ages().items():
            family.add_metric((name,), age_s)
        return [family]

    @staticmethod
    def _family() -> GaugeMetricFamily:
        told = "Since the audit log's head last reached this anchor."
        return GaugeMetricFamily("gatehouse_audit_anchor_age_seconds", told, labels=("name",))


class _Memories(Collector):
    """What the guards of the policy in force remember. A reload builds new guards, so counters begin again then."""

    def __init__(self, counts: Callable[[], Mapping[str, Mapping[str, Counts]]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        families = hits, misses, entries, size = self._families()
        for detector, kinds in self._counts().items():
            for kind, counts in kinds.items():
                hits.add_metric((detector, kind), counts.hits)
                misses.add_metric((detector, kind), counts.misses)
                entries.add_metric((detector, kind), counts.entries)
                size.add_metric((detector, kind), counts.bytes)
        return families

    @staticmethod
    def _families() -> tuple[CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        labels = ("detector", "of")
        return (
            CounterMetricFamily("gatehouse_guard_memory_hits", "Verdicts that needed no call.", labels=labels),
            CounterMetricFamily("gatehouse_guard_memory_misses", "Verdicts that needed a call.", labels=labels),
            GaugeMetricFamily("gatehouse_guard_memory_entries", "Verdicts remembered.", labels=labels),
            GaugeMetricFamily("gatehouse_guard_memory_bytes", "What they take, roughly.", labels=labels),
        )
