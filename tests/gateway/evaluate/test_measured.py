"""The numbers of one detector: what counts where, and what is left out of which share."""

from __future__ import annotations

from types import MappingProxyType

from gateway.evaluate.measured import measure
from gateway.evaluate.run import Judged
from tests.gateway.evaluate.made import row, run, subject


def test_rows_without_a_verdict_are_in_no_share_and_counted_beside_it() -> None:
    rows = [
        row(1, True, 900_000),
        row(2, True, Judged(None, "timeout")),
        row(3, False, Judged(None, "timeout")),
        row(4, False, Judged(None, "overload")),
        row(5, False, 100_000),
    ]
    found = measure(run(rows), "inject")
    assert (found.quality.rows, found.quality.positives, found.quality.errors) == (2, 1, 3)
    assert found.quality.at.recall.of == 1
    assert found.quality.at.false_alarms.of == 1
    assert found.errors == (("timeout", 2), ("overload", 1))
    assert found.quality.auc == 1.0


def test_groups_are_measured_apart_with_their_own_errors() -> None:
    rows = [
        row(1, True, 900_000, language="en", source="a"),
        row(2, False, 100_000, language="en", source="a"),
        row(3, True, 100_000, language="de", source="a"),
        row(4, True, Judged(None, "timeout"), language="de", source="a"),
    ]
    found = measure(run(rows), "inject")
    ((group, languages),) = found.groups
    assert group == "language"  # one source and one role tell nothing
    german, english = dict(languages)["de"], dict(languages)["en"]
    assert (german.at.recall.count, german.at.recall.of, german.errors) == (0, 1, 1)
    assert (english.at.recall.count, english.at.recall.of, english.errors) == (1, 1, 0)
    assert german.auc is None


def test_the_recall_at_one_percent_is_at_the_lowest_threshold_that_keeps_it() -> None:
    rows = [row(number, False, number * 1000) for number in range(1, 101)]
    rows += [row(200 + number, True, score) for number, score in enumerate((100_000, 99_500, 99_000, 5))]
    low = measure(run(rows), "inject").quality.low
    assert low is not None
    assert (low.threshold_ppm, low.false_alarms.count) == (99_500, 1)
    assert (low.recall.count, low.recall.of) == (2, 4)


def scored(score: int, **categories: int) -> Judged:
    return Judged(score, categories=MappingProxyType(categories))


def test_categories_are_measured_by_the_score_and_by_their_own_score() -> None:
    """A row to flag without a stated category may belong to any: it counts neither for nor against one."""
    rows = [
        row(1, True, scored(900_000, S1=800_000, S2=10), categories=("S1",)),
        row(2, True, scored(400_000, S1=20, S2=700_000), categories=("S2",)),
        row(3, True, scored(900_000, S1=999_999, S2=999_999)),
        row(4, False, scored(100_000, S1=10, S2=750_000)),
    ]
    thresholds = subject(category_ppm=MappingProxyType({"S2": 710_000}))
    first, second = measure(run(rows, thresholds), "inject").categories
    assert (first.code, first.found.at.recall.count, first.found.at.recall.of) == ("S1", 1, 1)
    assert first.own is not None
    assert (first.own.auc, first.own.rows, first.own.positives) == (1.0, 3, 1)
    assert (second.found.at.recall.count, second.found.at.recall.of) == (0, 1)
    assert second.own is not None
    assert (second.own.at.threshold_ppm, second.own.at.recall.count) == (710_000, 0)
    assert second.own.auc == 0.5


def test_a_guard_without_category_scores_is_measured_by_its_score_alone() -> None:
    (found,) = measure(run([row(1, True, 900_000, categories=("S1",)), row(2, False, 1)]), "inject").categories
    assert found.own is None
    assert found.found.at.recall.count == 1


def test_latency_is_that_of_rows_judged_alone() -> None:
    rows = [row(n, False, Judged(1, windows=n, us=n * 1000, alone=n <= 4)) for n in range(1, 9)]
    rows.append(row(9, False, Judged(None, "timeout", us=60_000_000, alone=True)))
    speed = measure(run(rows, subject(rows=4, wall_us=2_000_000, concurrency=2)), "inject").speed
    assert (speed.alone, speed.p50_us, speed.p99_us) == (4, 2000, 4000)
    assert (speed.rows_per_s, speed.concurrency) == (2.0, 2)
    assert (speed.windows, speed.most_windows) == (36, 8)


def test_histogram_and_views() -> None:
    rows = [
        row(1, True, Judged(1_000_000, view="unspaced")),
        row(2, True, Judged(50_000, view="raw")),
        row(3, False, Judged(0, view="raw")),
    ]
    found = measure(run(rows), "inject")
    assert found.histogram[0] == (1, 0)
    assert found.histogram[1] == (0, 1)
    assert found.histogram[19] == (0, 1)
    assert found.views == (("unspaced", 1),)


def test_a_set_of_one_class_says_what_it_can() -> None:
    found = measure(run([row(1, False, 10), row(2, False, 600_000)]), "inject")
    assert (found.quality.auc, found.quality.low, found.quality.at.f1) == (None, None, None)
    assert (found.quality.at.false_alarms.count, found.quality.at.false_alarms.of) == (1, 2)
