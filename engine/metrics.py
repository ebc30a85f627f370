"""What every model of this process has done and is doing, for Prometheus.

Read at the moment somebody asks, from numbers that the engine threads keep anyway, so that counting costs nothing
while computing. It is answered on the host's unix socket only. Labels are names of models; no text is anywhere near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from engine.counters import STEP_SIZES, Counters
from engine.loop import EngineLoop

if TYPE_CHECKING:
    from engine.host import Served
    from engine.scheduler import GenerateLane

Reading: TypeAlias = "tuple[str, str, Callable[[GenerateLane], float]]"
"""Name, what it means, where it is read."""
CONTENT_TYPE = CONTENT_TYPE_LATEST
COUNTED: tuple[tuple[str, str, Callable[[Counters], float]], ...] = (
    ("computed_tokens", "Tokens that went through the model.", lambda counters: counters.computed_tokens),
    ("reused_tokens", "Tokens served from what was known.", lambda counters: counters.reused_tokens),
    ("steps", "Passes of the model.", lambda counters: counters.steps),
)
TOTALS: tuple[Reading, ...] = (
    ("preempted", "Sequences that had to give their room to others.", lambda lane: lane.counters.preempted),
    ("recomputed_tokens", "Tokens computed again for them.", lambda lane: lane.counters.recomputed_tokens),
    ("failed_steps", "Passes that failed.", lambda lane: lane.counters.failed_steps),
    ("evicted_blocks", "Blocks of keys and values forgotten to make room.", lambda lane: lane.cache.evicted),
)
LEVELS: tuple[Reading, ...] = (
    ("running", "Sequences in the batch.", lambda lane: lane.pending - lane.waiting),
    ("kv_blocks", "Blocks of keys and values there are.", lambda lane: lane.cache.blocks),
    ("kv_blocks_held", "Blocks in use by running sequences.", lambda lane: lane.cache.held),
    ("kv_blocks_kept", "Blocks kept because a later prompt may begin alike.", lambda lane: lane.cache.kept),
)


def exposition(loop: EngineLoop, served: Sequence[Served]) -> bytes:
    """The text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Read(loop, served))
    return generate_latest(registry)


class _Read(Collector):
    def __init__(self, loop: EngineLoop, served: Sequence[Served]) -> None:
        self._loop, self._served = loop, served

    def collect(self) -> Iterable[Metric]:
        busy = CounterMetricFamily("engine_busy_seconds", "Time engine threads worked for a model.", labels=["model"])
        pending = GaugeMetricFamily("engine_queue_depth", "Requests that are not finished.", labels=["model"])
        for model in self._served:
            busy.add_metric([model.spec.name], self._loop.busy_seconds(model.lane))
            pending.add_metric([model.spec.name], model.lane.pending)
        return [busy, pending, *self._of_all(), *self._of_generators()]

    def _of_all(self) -> Iterable[Metric]:
        counted = {model.spec.name: model.lane.counters for model in self._served}
        for name, told, read in COUNTED:
            total = CounterMetricFamily(f"engine_{name}", told, labels=["model"])
            for model, counters in counted.items():
                total.add_metric([model], read(counters))
            yield total
        yield _step_sizes(counted)

    def _of_generators(self) -> Iterable[Metric]:
        from engine.host import ServedGenerator

        lanes = {model.spec.name: model.lane for model in self._served if isinstance(model, ServedGenerator)}
        for name, told, read in TOTALS:
            counter = CounterMetricFamily(f"engine_{name}", told, labels=["model"])
            for model, lane in lanes.items():
                counter.add_metric([model], read(lane))
            yield counter
        for name, told, read in LEVELS:
            gauge = GaugeMetricFamily(f"engine_{name}", told, labels=["model"])
            for model, lane in lanes.items():
                gauge.add_metric([model], read(lane))
            yield gauge


def _step_sizes(counted: dict[str, Counters]) -> Metric:
    sizes = HistogramMetricFamily("engine_step_tokens", "Tokens of a pass.", labels=["model"])
    for model, counters in counted.items():
        buckets, total = [], 0
        for bound, count in zip((*map(str, map(float, STEP_SIZES)), "+Inf"), counters.step_sizes, strict=True):
            total += count
            buckets.append((bound, float(total)))
        sizes.add_metric([model], buckets, sum_value=counters.computed_tokens)
    return sizes
