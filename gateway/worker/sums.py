"""Metrics of several processes as those of one: counters, buckets and gauges are added up.

What a worker had counted stays in the sums when it is gone, as far as it was asked for it last. When something began to
be counted is the earliest of all beginnings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from gateway.jsonstrict import Json
from gateway.worker.wire import Body

_BEGINNING: Final = "_created"
_SIZES: Final = frozenset({"gauge"})
_LEADS: Final = frozenset({"gatehouse_ready"})
"""What the lead says counts: it knows how its workers are."""
_MOST_GONE: Final = 128
_Key = tuple[str, tuple[tuple[str, str], ...]]


def counts(registry: CollectorRegistry) -> Body:
    """All that a process has counted."""
    rows: list[Json] = []
    for family in registry.collect():
        samples: list[Json] = [[one.name, dict(one.labels), one.value] for one in family.samples]
        rows.append([family.name, family.documentation, family.type, samples])
    return {"families": rows}


class Sums:
    """Of this process, of those that are asked, and of those that are gone."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._own = own
        self._gone: dict[int, list[Metric]] = {}
        """By process; a line can be cut and its worker live on."""
        self._past: list[Metric] = []

    def exposition(self, others: Iterable[Body]) -> bytes:
        """The text format of Prometheus."""
        families = [*self._own.collect(), *self._past]
        for gone in self._gone.values():
            families += gone
        for body in others:
            families += _families(body)
        registry = CollectorRegistry()
        registry.register(_Given(_added(families)))
        return generate_latest(registry)

    def keep(self, process: int, body: Body) -> None:
        """The last that is known of a worker that is gone."""
        self._gone[process] = [family for family in _families(body) if family.type not in _SIZES]
        if len(self._gone) > _MOST_GONE:
            self._past = _added([*self._past, *self._gone.pop(next(iter(self._gone)))])

    def back(self, process: int) -> None:
        """It was not gone after all, and counts on."""
        self._gone.pop(process, None)


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        return self._families


def _added(families: Iterable[Metric]) -> list[Metric]:
    """One family of each name, whose samples are the sums."""
    sums: dict[str, tuple[Metric, dict[_Key, float]]] = {}
    for family in families:
        _, values = sums.setdefault(family.name, (Metric(family.name, family.documentation, family.type), {}))
        for name, labels, value, *_ in family.samples:
            key = (name, tuple(sorted(labels.items())))
            known = values.get(key)
            if known is None:
                values[key] = value
            else:
                values[key] = min(known, value) if name.endswith(_BEGINNING) else known + value
    return [_filled(family, values) for family, values in sums.values()]


def _filled(family: Metric, values: dict[_Key, float]) -> Metric:
    for (name, labels), value in values.items():
        family.add_sample(name, dict(labels), value)
    return family


def _families(body: Body) -> list[Metric]:
    """As `counts` wrote them. Raises TypeError or ValueError."""
    found: list[Metric] = []
    for name, told, kind, samples in cast(list[tuple[str, str, str, list[Any]]], body.get("families", [])):
        if name in _LEADS:
            continue
        family = Metric(name, told, kind)
        for sample, labels, value in samples:
            family.add_sample(sample, labels, float(value))
        found.append(family)
    return found
