"""Time stamp tokens in a log, by OpenSSL as the authority: each holds, or the verification says which does not."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from gateway.audit.errors import NoteError, TrustError
from gateway.audit.evidence import Given
from gateway.audit.report import Exit, Report
from gateway.audit.stamps import Authorities
from gateway.audit.verify import verify
from tests.gateway.audit.anchors.tsa import authority, stamp
from tests.gateway.audit.forging import DAY, T0, Forger, two_days
from tests.gateway.audit.harness import trust_in, verified
from tests.gateway.audit.test_evidence import anchor


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tsa")
    authority(path)
    return path


def line(forger: Forger, head: tuple[int, int, int], token: bytes) -> bytes:
    proof = {"note": forger.head(*head).decode(), "token": b64encode(token).decode()}
    return anchor(forger, head, kind="rfc3161", proof=proof)


def judged(path: Path, *roots: Path) -> Report:
    return verify(path / "log", trust_in(path), given=Given(stamps=Authorities(roots)))


def test_a_token_that_holds_dates_the_log(site: Path, tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    heads = ((2, T0, 0), (4, T0 + DAY, 1))
    lines = [line(forger, head, stamp(site, forger.head(*head))) for head in heads]
    (forger.directory / "anchors.log").write_bytes(b"".join(lines))
    report = judged(tmp_path, site / "root.pem")
    assert (report.finding, report.tokens, report.stamped, report.stamped_by) == (None, 2, 4, "CN=tsa")
    assert "2 time stamps hold: the head of size 4 existed at 20" in report.statement
    assert "says CN=tsa" in report.statement
    assert report.anchored == 0, "another history could have been stamped, too"
    assert any("clock was ahead" in note for note in report.notes), "the heads of this log are of 2027"
    assert report.as_json()["stamped"] == 4
    assert "2 time stamp tokens were not opened" in verified(tmp_path).notes[0]


def test_tokens_that_do_not_hold_are_found(site: Path, tmp_path: Path) -> None:
    forger, head = two_days(tmp_path), (4, T0 + DAY, 1)
    good, other = stamp(site, forger.head(*head)), stamp(site, forger.head(2, T0, 0))
    harmed = bytearray(good)
    harmed[-20] ^= 1
    harmed_time = good.replace(b"\x18\x0f20", b"\x18\x0f19", 1)
    assert harmed_time != good
    for token in (other, bytes(harmed), harmed_time, b"nonsense", b""):
        (forger.directory / "anchors.log").write_bytes(line(forger, head, token))
        report = judged(tmp_path, site / "root.pem")
        assert report.finding is not None
        assert (report.exit, report.finding.code, report.finding.file) == (Exit.ALTERED, "timestamp", "anchors.log:1")


def test_an_authority_that_was_not_given_does_not_count(site: Path, tmp_path: Path) -> None:
    forger, head = two_days(tmp_path), (4, T0 + DAY, 1)
    (tmp_path / "tsa").mkdir()
    authority(tmp_path / "tsa")
    other = tmp_path / "tsa" / "root.pem"
    (forger.directory / "anchors.log").write_bytes(line(forger, head, stamp(site, forger.head(*head))))
    assert judged(tmp_path, other).exit is Exit.ALTERED
    assert judged(tmp_path, other, site / "root.pem").exit is Exit.PROVED


def test_what_is_no_root_is_no_trust(site: Path, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="no root"):
        Authorities([site / "tsa.pem"])
    with pytest.raises(TrustError, match="no certificates"):
        Authorities([site / "tsa.cnf"])
    two_days(tmp_path)
    assert judged(tmp_path, site / "root.pem").notes == [
        "anchors.log: there is no time stamp token, so that `--tsa-cert` proves nothing"
    ]


def test_a_token_that_cannot_be_read_does_not_hold(site: Path, tmp_path: Path) -> None:
    forger, head = two_days(tmp_path), (4, T0 + DAY, 1)
    proof = {"note": forger.head(*head).decode(), "token": "n o"}
    (forger.directory / "anchors.log").write_bytes(anchor(forger, head, kind="rfc3161", proof=proof))
    assert verified(tmp_path).finding is None
    assert judged(tmp_path, site / "root.pem").exit is Exit.ALTERED


def test_openssl_says_the_same_of_a_token(site: Path) -> None:
    """A second opinion on what this verifier accepts and refuses."""
    token = stamp(site, b"message")
    (site / "answer").write_bytes(token)
    words = ["openssl", "ts", "-verify", "-data", "message", "-in", "answer", "-CAfile", "root.pem"]
    assert subprocess.run(words, cwd=site, capture_output=True).returncode == 0
    assert Authorities([site / "root.pem"]).open(token, b"message").by == "CN=tsa"
    (site / "message").write_bytes(b"another")
    assert subprocess.run(words, cwd=site, capture_output=True).returncode != 0
    with pytest.raises(NoteError, match="Mismatch"):
        Authorities([site / "root.pem"]).open(token, b"another")
