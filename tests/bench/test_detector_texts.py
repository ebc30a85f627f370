"""The made-up identifiers: the same ones in every run, each in its text, with check digits that hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.detector_texts import EACH, KINDS, samples
from bench.detectors import HAND_WRITTEN, SECOND, SECRETS, UNSEEN, rule, spans_of
from guards.rules.checksums import CHECKS
from guards.rules.entity_shapes import LABELS


def test_samples_are_the_same_in_every_run_and_hold_their_value() -> None:
    first, second = list(samples()), list(samples())
    assert first == second
    assert sum(bool(sample.label) for sample in first) == EACH * len(KINDS)
    assert all(sample.value in sample.text for sample in first)
    assert set(KINDS) <= set(LABELS)


def test_check_digits_hold() -> None:
    checked = [sample for sample in samples() if sample.label in CHECKS and sample.label != "luhn"]
    assert len(checked) >= 9 * EACH
    assert all(CHECKS[sample.label](sample.value) for sample in checked)


@pytest.mark.parametrize(("file", "least"), [(HAND_WRITTEN, 0.93), (SECOND, 1.0), (UNSEEN, 0.86)])
def test_hand_written_lines_are_whole_and_found_as_often_as_told(file: Path, least: float) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(row["label"] in LABELS and row["value"] in row["text"] for row in rows)
    guard, found = rule("entities"), 0
    for row in rows:
        spans = [span for span in spans_of(guard, row["text"]).spans if span.label == row["label"]]
        found += any(row["value"] in row["text"][span.start : span.end] for span in spans)
    assert found / len(rows) >= least


def test_hand_written_lines_hold_no_key() -> None:
    shapes = rule("secrets", find=["aws_key", "github_token", "slack_token", "openai_key", "sendgrid_key"])
    assert not spans_of(shapes, SECRETS.read_text(encoding="utf-8")).spans
