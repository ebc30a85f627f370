"""What is pasted into a policy loads, means what was chosen, and says where it comes from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from gateway.evaluate.calibrate import Target, calibrate
from gateway.evaluate.run import Judged, Run
from gateway.evaluate.snippet import decimal, snippet
from policies.load import parse_policy
from policies.model import DetectorSpec
from tests.gateway.evaluate.made import DIGEST, row, run, subject

POLICY = """\
gatehouse: policy/v1
name: pasted
version: 1.0.0
owner: tests@gatehouse.example
detectors:
{entry}
rules:
  - {{id: r, on: [user], when: {{{name}: {{unsafe: true}}}}, do: {{block: {{code: x}}}}}}
  - {{id: pass, on: [user, output], do: allow}}
"""


def loaded(entry: str, name: str) -> DetectorSpec:
    return parse_policy(POLICY.format(entry=entry, name=name).encode(), "pasted.yaml").detectors[name]


def scored(categories: bool = False, **changed: Any) -> Run:
    source = random.Random(1)

    def judged(top: int) -> Judged:
        codes: Mapping[str, int] = {"S1": source.randrange(top), "S10": source.randrange(top)} if categories else {}
        return Judged(source.randrange(top), categories=MappingProxyType(codes))

    rows = [row(n, False, judged(500_000)) for n in range(400)] + [row(900 + n, True, judged(10**6)) for n in range(99)]
    return run(rows, subject(**changed))


def test_the_entry_loads_with_the_threshold_to_the_millionth() -> None:
    found = calibrate(scored(timeout_ms=5000), "inject", Target(0.05, temperature=True))
    entry = snippet(scored(), found)
    spec = loaded(entry, "inject")
    assert (spec.use, spec.threshold_ppm, spec.timeout_ms) == ("starter_injection", found.score.threshold_ppm, 5000)
    assert spec.category_thresholds == {}


def test_categories_load_too() -> None:
    whole = scored(categories=True, use="starter_hazard")
    found = calibrate(whole, "inject", Target(0.05, categories=True))
    spec = loaded(snippet(whole, found), "inject")
    assert dict(spec.category_thresholds) == {chosen.code: chosen.threshold_ppm for chosen in found.categories}


def test_category_thresholds_of_the_policy_stay() -> None:
    whole = scored(use="starter_hazard", category_ppm=MappingProxyType({"S9": 300_000}))
    entry = snippet(whole, calibrate(whole, "inject", Target(0.05)))
    assert dict(loaded(entry, "inject").category_thresholds) == {"S9": 300_000}


def test_comments_say_what_the_number_rests_on() -> None:
    found = calibrate(scored(options=("views",)), "inject", Target(0.05, seed=9, temperature=True))
    entry = snippet(scored(), found)
    comments = "\n".join(line for line in entry.splitlines() if line.lstrip().startswith("#"))
    for said in (DIGEST, "2026-11-21", "499 rows", "at most 0.05", "0.95 confidence", "of 200 rows to pass", "seed 9"):
        assert said in comments
    assert "fitted temperature" in comments
    assert "has other options, which are not repeated here: keep them" in comments
    assert "temperature:" not in entry


@pytest.mark.parametrize(
    ("ppm", "written"), [(0, "0.000000"), (1, "0.000001"), (545_000, "0.545000"), (10**6, "1.000000")]
)
def test_thresholds_are_exact(ppm: int, written: str) -> None:
    assert decimal(ppm) == written
