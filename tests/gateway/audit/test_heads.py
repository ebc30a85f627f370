"""Signed heads: by a key of their time, in order, and by the key of their epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.report import Exit
from tests.gateway.audit.forging import DAY, SECOND, START, T0, Forger, Head, announce, two_days
from tests.gateway.audit.harness import verified


def code_of(path: Path) -> tuple[Exit, str | None]:
    report = verified(path)
    return report.exit, report.finding.code if report.finding is not None else None


def test_log_of_two_epochs_is_proved(tmp_path: Path) -> None:
    two_days(tmp_path)
    report = verified(tmp_path)
    assert (report.finding, report.signed, report.epoch, report.seals) == (None, 5, 1, 1)


@pytest.mark.parametrize(
    ("heads", "expected", "code"),
    [
        # Signed outside the time of the key, however little.
        ([(2, T0 - SECOND - 1, 0)], Exit.ALTERED, "checkpoint"),
        ([(2, T0 + DAY + 60 * SECOND + 1, 0)], Exit.ALTERED, "checkpoint"),
        ([(5, T0 + 5 * DAY, 2)], Exit.ALTERED, "checkpoint"),
        # Old entries signed again with a later key, in its time: the epoch of those records was another.
        ([(2, T0 + DAY, 1), (5, T0 + DAY, 1)], Exit.ALTERED, "checkpoint_epoch"),
        # An expired key, used within the minute of grace on records of the next epoch.
        ([(2, T0, 0), (4, T0 + DAY + SECOND, 0)], Exit.ALTERED, "checkpoint_epoch"),
        # A key of an epoch that nothing announced.
        ([(2, T0, 0), (5, T0 + 2 * DAY, 2)], Exit.ALTERED, "checkpoint_epoch"),
        ([(2, T0, 0), (5, T0 + DAY + SECOND, 1), (5, T0 + DAY + SECOND, 0)], Exit.ALTERED, "checkpoint_order"),
        ([(2, T0, 0), (5, T0 + DAY + SECOND, 1), (5, T0 + DAY, 1)], Exit.ALTERED, "checkpoint_order"),
        ([(2, T0, 0), (5, T0 + DAY, 1), (4, T0 + DAY, 1)], Exit.ROLLBACK, "checkpoint_order"),
    ],
)
def test_head_by_the_wrong_key_or_out_of_order_is_found(
    tmp_path: Path, heads: list[Head], expected: Exit, code: str
) -> None:
    two_days(tmp_path).heads(*heads)
    assert code_of(tmp_path) == (expected, code)


def test_head_may_be_a_minute_late_and_a_second_early(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    forger.heads((2, T0 - SECOND, 0), (5, T0 + 2 * DAY + 60 * SECOND, 1))
    assert code_of(tmp_path) == (Exit.PROVED, None)


@pytest.mark.parametrize(
    ("gap", "between", "expected"),
    [
        (120 * SECOND, "auth.fail", None),
        (120 * SECOND + 1, "auth.fail", "idle"),
        (3600 * SECOND, "gateway.start", None),
        (3600 * SECOND, "clock.step", None),
        (3600 * SECOND, "audit.fail", None),
    ],
)
def test_silence_of_the_signer_needs_a_record_that_explains_it(
    tmp_path: Path, gap: int, between: str, expected: str | None
) -> None:
    forger = Forger(tmp_path)
    forger.segment([START, {"type": "auth.fail"}, {"type": between}, {"type": "auth.fail"}])
    forger.heads((2, T0, 0), (4, T0 + gap, 0))
    assert code_of(tmp_path) == ((Exit.INCOMPLETE, "idle") if expected else (Exit.PROVED, None))


def test_explanation_of_an_earlier_silence_does_not_serve_a_later_one(tmp_path: Path) -> None:
    forger = Forger(tmp_path)
    forger.segment([START, {"type": "audit.fail"}, {"type": "auth.fail"}])
    forger.heads((1, T0, 0), (2, T0 + 200 * SECOND, 0), (3, T0 + 400 * SECOND, 0))
    assert code_of(tmp_path) == (Exit.INCOMPLETE, "idle")


def test_announcement_has_to_be_that_of_a_certified_epoch(tmp_path: Path) -> None:
    start = {"type": "gateway.start", "ts": str(T0 + DAY)}
    for number, (record, line) in enumerate(
        [
            (announce(7), 0),
            (announce(0), 0),
            (announce(1, key={"epoch": 1, "id": "00000000"}), 0),
            (announce(1, key="1"), 0),
            (announce(1, ts=str(T0)), 0),
            (announce(1), 2),
        ]
    ):
        forger = Forger(tmp_path / str(number))
        forger.segment([START], seal=(0, T0, 0))
        forger.segment([*[start] * line, record, start])
        forger.heads((1, T0, 0), (3 + line, T0 + DAY, 1))
        assert code_of(tmp_path / str(number)) == (Exit.ALTERED, "epoch"), number


def test_epoch_may_be_later_than_the_time_of_its_record_once_the_clock_was_set(tmp_path: Path) -> None:
    forger = Forger(tmp_path)
    forger.segment([START], seal=(0, T0, 0))
    forger.segment([{"type": "clock.step", "ts": str(T0 - DAY)}, announce(1, ts=str(T0 - DAY))])
    forger.heads((1, T0, 0), (3, T0 + DAY, 1))
    assert code_of(tmp_path) == (Exit.PROVED, None)
