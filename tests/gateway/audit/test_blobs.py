"""Blobs of sealed content: there as their record says, or gone with authority."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.audit.blobs import Blobs
from gateway.audit.chunk import Event
from gateway.audit.evidence import Given
from gateway.audit.record import canonical
from gateway.audit.report import Exit, Report
from gateway.audit.verify import verify
from tests.gateway.audit.forging import START, T0, Forger, Record
from tests.gateway.audit.harness import trust_in

DATA = {f"{number:032x}": bytes([number]) * (9 + number) for number in range(4)}
A, B, C, D = DATA


def entry(ref: str, kek_id: str = "k1") -> dict[str, object]:
    digest = b64encode(sha256(DATA[ref]).digest()).decode()
    return {
        "ref": ref,
        "ct_sha256": digest,
        "bytes": len(DATA[ref]),
        "kek_id": kek_id,
        "class": "c",
        "level": "request",
    }


def named(*refs: str, kek_id: str = "k1") -> Record:
    return {"type": "request.refuse", "req": "r", "content": [entry(ref, kek_id) for ref in refs]}


def erase(what: dict[str, object], kind: str = "content.erase") -> Record:
    return {"type": kind, "stage": "admit", "req": "e", "erase": what}


def blobs(path: Path, *refs: str, tail: bytes = b"") -> Path:
    folder = path / "content" / "c"
    folder.mkdir(parents=True)
    whole = [canonical({"v": 1, **entry(ref), "origin": "o"}) + b"\n" + DATA[ref] + b"\n" for ref in refs]
    (folder / "0000000000000000.blobs").write_bytes(b"".join(whole) + tail)
    return path / "content"


def check(path: Path, content: Path, *records: Record) -> Report:
    forger = Forger(path)
    forger.segment([START, *records])
    forger.heads((1 + len(records), T0, 0))
    return verify(path / "log", trust_in(path), given=Given(content=content))


def test_blobs_that_records_name_are_compared(tmp_path: Path) -> None:
    report = check(tmp_path, blobs(tmp_path, A, B, C, tail=b'{"torn'), named(A), named(B, C))
    assert (report.exit, report.blobs, report.erased) == (Exit.PROVED, 3, 0)


def test_blob_with_other_bytes_is_altered(tmp_path: Path) -> None:
    content = blobs(tmp_path, A, B)
    file = content / "c" / "0000000000000000.blobs"
    file.write_bytes(file.read_bytes().replace(DATA[B], DATA[B][:-1] + b"x"))
    report = check(tmp_path, content, named(A), named(B))
    assert report.finding is not None
    assert (report.exit, report.finding.code, report.finding.seq) == (Exit.ALTERED, "content_altered", 2)


@pytest.mark.parametrize("kind", ["content.erase", "retention.prune"])
@pytest.mark.parametrize("what", [{"refs": [B, D]}, {"kek_id": "k2"}])
def test_absence_that_a_later_record_authorises_is_told(tmp_path: Path, kind: str, what: dict[str, object]) -> None:
    report = check(tmp_path, blobs(tmp_path, A), named(A), named(B, kek_id="k2"), erase(what, kind))
    assert (report.finding, report.exit, report.blobs, report.erased) == (None, Exit.PROVED_WITH_ERASURES, 1, 1)


@pytest.mark.parametrize(
    "records",
    [
        [named(A), named(B)],
        [erase({"refs": [B]}), named(B)],
        [named(B), erase({"refs": [A]})],
        [named(B), erase({"kek_id": "k2"})],
        [named(B), erase({"refs": "all"})],
        [named(B), erase({"refs": [B]}), {"type": "content.erase", "req": "e", "refused": {"holds": ["h"]}}],
    ],
)
def test_absence_without_authority_is_incomplete(tmp_path: Path, records: list[Record]) -> None:
    report = check(tmp_path, blobs(tmp_path, A), *records)
    assert report.finding is not None
    assert (report.exit, report.finding.code) == (Exit.INCOMPLETE, "content_missing")


def test_refusal_takes_back_only_its_own_erasure(tmp_path: Path) -> None:
    refused: Record = {"type": "content.erase", "req": "other", "refused": {"holds": ["h"]}}
    report = check(tmp_path, blobs(tmp_path, A), named(B), erase({"refs": [B]}), refused)
    assert report.exit is Exit.PROVED_WITH_ERASURES


def test_blob_that_a_running_gateway_wrote_meanwhile_is_not_missed(tmp_path: Path) -> None:
    content = blobs(tmp_path, A)
    known = Blobs(content)
    told = {"content": [entry(B)]}
    assert known.take(5, Event(0, "request.refuse", "r", {}, content=told["content"])) is None  # type: ignore[arg-type]
    blobs(tmp_path / "later", B)
    (tmp_path / "later" / "content" / "c" / "0000000000000000.blobs").rename(content / "c" / "0000000000000001.blobs")
    report = Report("o")
    known.finish(report)
    assert (report.blobs, report.erased) == (1, 0)


def test_record_that_does_not_say_which_blob_is_a_finding(tmp_path: Path) -> None:
    report = check(tmp_path, blobs(tmp_path, A), {"type": "request.refuse", "req": "r", "content": [{"ref": A}]})
    assert report.finding is not None
    assert report.finding.code == "content"


@pytest.mark.parametrize("size", [10**14, 2**53 - 1, len(DATA[B]) + 1, -1])
def test_a_blob_that_says_it_is_larger_than_its_file_is_no_blob(tmp_path: Path, size: int) -> None:
    head = canonical({"v": 1, **entry(B), "bytes": size, "origin": "o"})
    content = blobs(tmp_path, A, tail=head + b"\n" + DATA[B] + b"\n")
    assert check(tmp_path, content, named(A)).exit == Exit.PROVED
    assert check(tmp_path / "more", content, named(A, B)).exit == Exit.INCOMPLETE
