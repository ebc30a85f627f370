"""What a scraper reads: counts with labels from fixed sets."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Metrics
from guards.memory import Counts


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {sample.name + str(sorted(sample.labels.items())): sample.value for f in families for sample in f.samples}


def test_the_exposition_parses_and_holds_what_was_counted() -> None:
    metrics = Metrics()
    metrics.exchanges.labels("/v1/chat/completions", "block", "unsafe_content").inc()
    metrics.records.inc(3)
    seen = samples(metrics)
    assert seen["gatehouse_audit_records_total[]"] == 3
    labels = [("code", "unsafe_content"), ("outcome", "block"), ("route", "/v1/chat/completions")]
    assert seen[f"gatehouse_exchanges_total{labels}"] == 1


def test_two_fronts_in_one_process_do_not_share_counters() -> None:
    first, second = Metrics(), Metrics()
    first.records.inc()
    assert samples(second)["gatehouse_audit_records_total[]"] == 0


def test_no_metric_has_a_label_that_a_caller_could_choose() -> None:
    """A label with free values is a way to fill the scraper's disk, and to write text into it."""
    metrics = Metrics()
    names = {label for metric in vars(metrics).values() for label in getattr(metric, "_labelnames", ())}
    assert names <= {"route", "outcome", "code", "detector", "kind", "binding"}, "bindings are named by the operator"


def test_what_the_guards_remember_is_asked_for_at_each_scrape() -> None:
    metrics, counts = Metrics(), Counts()
    metrics.watch_memories(lambda: {"jailbreak": {"part": counts}})
    counts.hits, counts.misses, counts.entries, counts.bytes = 3, 2, 2, 900
    seen = samples(metrics)

    labels = [("detector", "jailbreak"), ("of", "part")]
    assert seen[f"gatehouse_guard_memory_hits_total{labels}"] == 3
    assert seen[f"gatehouse_guard_memory_misses_total{labels}"] == 2
    assert seen[f"gatehouse_guard_memory_entries{labels}"] == 2
    assert seen[f"gatehouse_guard_memory_bytes{labels}"] == 900
