"""What an operator reads when lines cannot be used."""

from __future__ import annotations

from gateway.evaluate.errors import MOST_REPORTED, EvaluationError, LinesRefused


def test_every_problem_is_a_line_with_its_place() -> None:
    refused = LinesRefused("set.jsonl", [(3, "`label` is missing"), (9, "the line is empty")])
    assert str(refused) == "set.jsonl:3: `label` is missing\nset.jsonl:9: the line is empty"
    assert isinstance(refused, EvaluationError)


def test_a_wrong_file_is_not_printed_line_by_line() -> None:
    refused = LinesRefused("set.jsonl", [(line, "bad") for line in range(1, MOST_REPORTED + 51)])
    lines = str(refused).splitlines()
    assert len(lines) == MOST_REPORTED + 1
    assert lines[-1] == "and 50 more"
    assert len(refused.problems) == MOST_REPORTED + 50
