"""The made-up identifiers: the same ones in every run, each in its text, with check digits that hold."""

from __future__ import annotations

import json

from bench.detector_texts import EACH, KINDS, samples
from bench.detectors import HAND_WRITTEN, SECRETS, rule, spans_of
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


def test_hand_written_lines_are_whole_and_hold_no_key() -> None:
    for line in HAND_WRITTEN.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert row["label"] in LABELS
        assert row["value"] in row["text"]
    shapes = rule("secrets", find=["aws_key", "github_token", "slack_token", "openai_key", "sendgrid_key"])
    assert not spans_of(shapes, SECRETS.read_text(encoding="utf-8")).spans
