"""Approvals in records: proved with keys from elsewhere, used once, and for what the record says."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from gateway.audit.approved import Approvers, NotApproved, blobs_line, signers
from gateway.audit.evidence import Given
from gateway.audit.note import Signer
from gateway.audit.report import Exit, Report
from gateway.audit.verify import verify
from tests.gateway.audit.forging import START, T0, Forger, Record
from tests.gateway.audit.harness import ORIGIN, trust_in
from tests.gateway.test_approval import ALICE, APPROVERS, BOB, CAROL, person

ERASE = f"gatehouse-erase/v2\norigin {ORIGIN}\nsubject sub_a\nreason why\nnumber 1\nuntil never\n"
RELEASE = f"gatehouse-hold-release/v2\norigin {ORIGIN}\nhold h1\nreason why\nnumber 2\nuntil never\n"
POLICY = "gatehouse-policy-bundle/v1\nstrict\n"


def signed(text: str, *people: Signer) -> Record:
    lines = [person_.sign(text).decode().rpartition("\n\n")[2].strip() for person_ in people]
    return {"approval": {"statement": text, "signatures": lines}, "approved_by": [one.verifier.name for one in people]}


def erasure(text: str = ERASE, req: str = "call-1", people: tuple[Signer, ...] = (ALICE, BOB)) -> list[Record]:
    said = {"type": "content.erase", "req": req, "reason": "why", "subject": "sub_a", **signed(text, *people)}
    erase = {"erase": {"kek_id": "k"}}
    return [{**said, **erase, "stage": "admit"}, {**said, **erase, "stage": "complete", "erased": 1}]


def of_request(refs: list[str], named: list[str]) -> list[Record]:
    text = f"gatehouse-erase/v2\norigin {ORIGIN}\nrequest r1\n{blobs_line(named)}\nreason why\n"
    said = {"type": "content.erase", "req": "call-1", "reason": "why", **signed(text, ALICE, BOB)}
    parts = [refs[:1], refs[1:]]
    return [{**said, "stage": stage, "erase": {"refs": part}} for stage in ("admit", "complete") for part in parts]


def release(text: str = RELEASE, people: tuple[Signer, ...] = (ALICE, BOB)) -> Record:
    said = {"type": "hold.release", "req": "call-2", "reason": "why", "stage": "complete", "hold": {"id": "h1"}}
    return {**said, **signed(text, *people)}


def policy(text: str = POLICY, people: tuple[Signer, ...] = (ALICE, BOB), digest: str = "") -> Record:
    bundle = {
        "digest": digest or f"sha256:{sha256(text.encode()).hexdigest()}",
        "signers": [one.verifier.name for one in people],
        "weaker": True,
    }
    approval = signed(text, *people)["approval"]
    return {"type": "policy.load", "policy": {"compiled_digest": "d"}, "bundle": bundle, "approval": approval}


def judged(path: Path, records: list[Record], approvers: Approvers = APPROVERS) -> Report:
    forger = Forger(path)
    forger.segment([START, *records])
    forger.heads((len(records) + 1, T0, 0))
    return verify(path / "log", trust_in(path), given=Given(approvers=approvers))


def test_approvals_that_hold_are_counted(tmp_path: Path) -> None:
    report = judged(tmp_path, [*erasure(), release(), policy()])
    assert (report.finding, report.approvals) == (None, 4)
    assert "4 records carry approvals that hold" in report.statement


def test_without_keys_nothing_is_claimed(tmp_path: Path) -> None:
    report = judged(tmp_path, [*erasure(), release(), {"type": "hold.release", "approved_by": ["alice"]}], {})
    assert (report.finding, report.approvals) == (None, 0)
    assert report.notes == [
        "3 records carry approvals, which were not checked: give `--approver NAME=VKEY`",
        "1 records name approvers and carry nothing that they signed",
    ]


@pytest.mark.parametrize(
    ("records", "exit_", "code"),
    [
        ([*erasure(), *erasure(req="call-9")], Exit.ALTERED, "approval_replayed"),
        (erasure(people=(ALICE,)), Exit.INCOMPLETE, "approval_missing"),
        (erasure(people=(ALICE, CAROL)), Exit.INCOMPLETE, "approval_missing"),
        (erasure(people=(ALICE, person("bob", 66))), Exit.ALTERED, "approval"),
        (erasure(ERASE.replace("sub_a", "sub_b")), Exit.ALTERED, "approval"),
        (erasure(ERASE.replace(ORIGIN, "test/other")), Exit.ALTERED, "approval"),
        (erasure(RELEASE), Exit.ALTERED, "approval"),
        ([release(RELEASE.replace("h1", "h2"))], Exit.ALTERED, "approval"),
        ([{**release(), "approval": "yes"}], Exit.ALTERED, "approval"),
        ([policy(digest="sha256:0")], Exit.ALTERED, "approval"),
        ([{**policy(), **{"approval": {"statement": POLICY, "signatures": []}}}], Exit.INCOMPLETE, "approval_missing"),
        (of_request(["a", "b", "c"], ["a", "b"]), Exit.ALTERED, "approval"),
    ],
)
def test_approvals_that_are_missing_wrong_or_used_again_are_found(
    tmp_path: Path, records: list[Record], exit_: Exit, code: str
) -> None:
    report = judged(tmp_path, records)
    assert report.finding is not None
    assert (report.exit, report.finding.code) == (exit_, code)


def test_the_blobs_of_a_request_are_those_that_were_approved(tmp_path: Path) -> None:
    report = judged(tmp_path, of_request(["c", "a", "b"], ["a", "b", "c"]))
    assert (report.finding, report.approvals) == (None, 4)


def test_a_policy_that_was_signed_for_another_place_is_found(tmp_path: Path) -> None:
    def loaded(only: str, **more: str) -> Record:
        return policy(f"{POLICY}{only}policy sha256:0\n") | more

    good = [
        loaded(f"origin {ORIGIN}\norigin z\n"),
        loaded("binding -\nbinding own\n"),
        loaded("binding -\nbinding own\n", binding="own"),
        loaded(f"origin {ORIGIN}\nbinding own\n", binding="own"),
    ]
    assert judged(tmp_path / "good", good).approvals == 4
    bad = [loaded("origin z\n"), loaded("binding own\n"), loaded("binding -\n", binding="own")]
    for number, record in enumerate(bad):
        finding = judged(tmp_path / f"bad-{number}", [record]).finding
        assert finding is not None
        assert (finding.code, finding.found) == ("approval", "one of something else")


def test_a_policy_may_come_into_force_again(tmp_path: Path) -> None:
    assert judged(tmp_path, [policy(), policy()]).finding is None


@pytest.mark.parametrize("line", ["— alice nonsense", "- alice AAAA", f"— alice {'A' * 92}", "— alice \ud800"])
def test_a_line_in_an_approvers_name_has_to_hold(line: str) -> None:
    assert signers(ERASE, ["— carol nonsense", "nonsense", ""], APPROVERS) == frozenset()
    with pytest.raises(NotApproved):
        signers(ERASE, [line], APPROVERS)
