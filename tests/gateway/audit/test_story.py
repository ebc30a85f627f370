"""Records among each other: exchanges, policies, epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.epochs import endless_chain
from gateway.audit.note import VerifierKey
from gateway.audit.report import Exit
from gateway.audit.story import Story
from tests.gateway.audit.forging import START, T0, Forger, Record
from tests.gateway.audit.harness import ORIGIN, verified

LOAD: Record = {"type": "policy.load", "policy": {"compiled_digest": "sha256:a"}}
CITES: Record = {"type": "request.refuse", "req": "r", "policy": {"compiled_digest": "sha256:a"}}


def finding_of(path: Path, records: list[Record]) -> tuple[str, int | None] | None:
    forger = Forger(path)
    forger.segment(records)
    forger.heads((len(records), T0, 0))
    report = verified(path)
    assert report.exit is (Exit.PROVED if report.finding is None else Exit.ALTERED)
    return (report.finding.code, report.finding.seq) if report.finding is not None else None


@pytest.mark.parametrize(
    ("records", "seq"),
    [
        ([START, CITES], 1),
        ([CITES, LOAD], 0),
        ([START, LOAD, CITES, START, CITES], 4),
        ([START, {**LOAD, "type": "policy.reject"}, CITES], 2),
        ([START, {**LOAD, "policy": {"compiled_digest": "sha256:b"}}, CITES], 2),
        ([START, LOAD, CITES, {**CITES, "policy": {"compiled_digest": "sha256:b"}}], 3),
        ([START, {**CITES, "type": "moderation.complete"}], 1),
    ],
)
def test_decision_by_a_policy_that_was_not_loaded_is_found(tmp_path: Path, records: list[Record], seq: int) -> None:
    assert finding_of(tmp_path, records) == ("policy", seq)


@pytest.mark.parametrize(
    "records",
    [
        [START, LOAD, CITES, CITES],
        [START, {**LOAD, "type": "policy.activate"}, CITES],
        [START, LOAD, {**LOAD, "policy": {"compiled_digest": "sha256:b"}}, CITES],
        [START, {"type": "request.refuse", "req": "r", "policy": "none"}],
        [START, {"type": "policy.reject", "policy": {"compiled_digest": "sha256:c"}}],
        [START, {"type": "auth.fail", "policy": {"compiled_digest": "sha256:c"}}],
    ],
)
def test_decision_by_a_policy_loaded_since_the_start_is_none(tmp_path: Path, records: list[Record]) -> None:
    assert finding_of(tmp_path, records) is None


def test_what_heads_need_no_more_is_forgotten() -> None:
    story = Story(endless_chain(VerifierKey(ORIGIN, bytes(32))))
    story._breaks.extend(range(1, 1000))
    assert story.explains_silence(998, 999)
    assert story._breaks == [999]
    assert not story.explains_silence(999, 2000)
    assert story.epoch_at(5) == -1
