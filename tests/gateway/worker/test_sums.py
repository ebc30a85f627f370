"""Counts of several processes read as those of one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.jsonstrict import dumps, loads
from gateway.metrics import Metrics
from gateway.worker.sums import Sums, counts
from gateway.worker.wire import Body


def carried(metrics: Metrics) -> Body:
    """Over the line and back."""
    body = loads(dumps(counts(metrics.registry)), max_depth=9)
    assert isinstance(body, dict)
    return body


def samples(text: bytes) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


def asked(outcome: str, seconds: float) -> Metrics:
    metrics = Metrics()
    metrics.exchanges.labels("/v1", outcome, "").inc()
    metrics.seconds.labels("/v1").observe(seconds)
    metrics.in_flight.inc()
    metrics.ready.set(1)
    return metrics


def test_counters_buckets_and_gauges_are_added_up() -> None:
    lead, worker = asked("allow", 0.003), asked("allow", 20)
    seen = samples(Sums(lead.registry).exposition([carried(worker), carried(asked("block", 20))]))
    assert seen["gatehouse_exchanges_total code= outcome=allow route=/v1"] == 2
    assert seen["gatehouse_exchanges_total code= outcome=block route=/v1"] == 1
    assert seen["gatehouse_exchange_seconds_bucket le=0.005 route=/v1"] == 1
    assert seen["gatehouse_exchange_seconds_bucket le=+Inf route=/v1"] == 3
    assert seen["gatehouse_exchange_seconds_sum route=/v1"] == 40.003
    assert seen["gatehouse_in_flight"] == 3
    assert seen["gatehouse_ready"] == 1


def test_whether_all_are_ready_is_for_the_lead_to_say() -> None:
    lead, worker = asked("allow", 1), asked("allow", 1)
    lead.ready.set(0)
    assert samples(Sums(lead.registry).exposition([carried(worker)]))["gatehouse_ready"] == 0


def test_the_beginning_of_a_counter_is_the_earliest() -> None:
    early, late = asked("allow", 1), asked("allow", 1)
    name = "gatehouse_exchanges_created code= outcome=allow route=/v1"
    alone = samples(Sums(early.registry).exposition([]))[name]
    assert samples(Sums(late.registry).exposition([carried(early)]))[name] == alone


def test_what_was_counted_stays_and_what_was_under_way_does_not() -> None:
    sums = Sums(asked("allow", 1).registry)
    for process in range(500, 700):
        sums.keep(process, carried(asked("allow", 1)))
    sums.keep(1, {})
    seen = samples(sums.exposition([carried(asked("allow", 1))]))
    assert seen["gatehouse_exchanges_total code= outcome=allow route=/v1"] == 202
    assert seen["gatehouse_in_flight"] == 2


def test_a_worker_that_comes_back_counts_once() -> None:
    sums, worker = Sums(Metrics().registry), carried(asked("allow", 1))
    sums.keep(7, worker)
    sums.back(7)
    assert samples(sums.exposition([worker]))["gatehouse_exchanges_total code= outcome=allow route=/v1"] == 1
