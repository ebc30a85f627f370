"""Problems as the author reads them."""

from __future__ import annotations

import pytest

from policies.errors import FileErrors, Place, PolicyErrors, PolicyProblem, Problems, did_you_mean


def test_problem_is_written_as_editors_and_terminals_parse_it() -> None:
    place = Place("policies/my.yaml", 14, 15)
    assert str(PolicyProblem(place, "unknown hazard `x`", "did you mean `y`?")) == (
        "policies/my.yaml:14:15: unknown hazard `x` (did you mean `y`?)"
    )
    assert str(PolicyProblem(place, "file is empty")) == "policies/my.yaml:14:15: file is empty"


def test_problems_come_sorted_by_place_and_once() -> None:
    problems = Problems()
    problems.add(Place("f", 10, 1), "later")
    problems.add(Place("f", 9, 1), "earlier")
    problems.add(Place("f", 9, 1), "earlier")
    with pytest.raises(PolicyErrors) as caught:
        problems.raise_if_any(PolicyErrors)
    assert str(caught.value) == "f:9:1: earlier\nf:10:1: later"
    assert isinstance(caught.value, FileErrors)


def test_no_problem_raises_nothing() -> None:
    Problems().raise_if_any()


def test_nearest_name_is_suggested_only_when_it_is_near() -> None:
    assert did_you_mean("threshhold", ["threshold", "timeout"]) == "did you mean `threshold`?"
    assert did_you_mean("zzz", ["threshold", "timeout"]) == ""
    assert did_you_mean("x" * 1_000_000, ["threshold"]) == ""
