"""The JSON report holds the numbers that the others show, with the counts behind every share."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

from gateway.evaluate.calibrate import Target, calibrate
from gateway.evaluate.report import as_json, calibration_as_json, measure_all
from gateway.evaluate.run import Judged, Run
from gateway.jsonstrict import dumps
from tests.gateway.evaluate.made import DIGEST, row, run, subject


def example() -> Run:
    categories = MappingProxyType({"S1": 700_000})
    rows = [
        row(
            1,
            True,
            Judged(900_000, categories=categories, windows=1, us=5, alone=True),
            categories=("S1",),
            language="en",
        ),
        row(2, True, Judged(None, "timeout"), language="de"),
        row(3, False, Judged(600_000, windows=2, view="raw"), language="de"),
        row(4, False, 100_000, language="de"),
    ]
    return run(rows, subject(rows=2, wall_us=1_000_000, concurrency=2))


def test_every_share_has_its_counts() -> None:
    found: Any = json.loads(dumps(as_json(example(), measure_all(example()))))
    (detector,) = found["detectors"]
    assert (found["gatehouse"], found["set_digest"], found["rows"], found["texts"]) == ("eval/v1", DIGEST, 4, 4)
    assert detector["errors_by_kind"] == {"timeout": 1}
    at = detector["at_threshold"]
    assert (at["recall"]["count"], at["recall"]["of"]) == (1, 1)
    assert (at["false_alarms"]["count"], at["false_alarms"]["of"]) == (1, 2)
    assert at["precision"]["low"] < 0.5 < at["precision"]["high"]
    assert detector["groups"]["language"]["de"]["errors"] == 1
    assert detector["categories"]["S1"]["by_category_score"]["rows"] == 1
    assert detector["latency"] == {"rows": 1, "p50_us": 5, "p95_us": 5, "p99_us": 5}
    assert detector["throughput"] == {"rows_per_s": 2.0, "concurrency": 2}
    assert sum(one["rows"] for one in detector["reliability"]) == 3


def test_a_calibration_says_what_was_promised_and_what_was_seen() -> None:
    rows = [row(n, False, n) for n in range(400)] + [row(900 + n, True, 900_000 + n) for n in range(20)]
    found = calibrate(run(rows), "inject", Target(0.05, temperature=True))
    told: Any = json.loads(dumps(calibration_as_json(run(rows), found, "entry\n")))
    assert (told["rate"], told["confidence"], told["detector"]) == (0.05, 0.95, "inject")
    assert told["score"]["fitted"]["high"] <= 0.05
    assert told["score"]["recall"] == {"count": 10, "of": 10, "low": told["score"]["recall"]["low"], "high": 1.0}
    assert told["before"]["threshold_ppm"] == 500_000
    assert told["temperature"]["temperature"] is None  # a line parts these classes
    assert told["temperature"]["is_in_the_policy"] is False
    assert told["policy_snippet"] == "entry\n"
