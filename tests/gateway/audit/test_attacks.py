"""Both verifiers against an attacker who has the disk, on a log of 200 records, three epochs, seals and an anchor.

Whatever is changed, deleted, doubled or swapped is found, and both name the same entry first. Bytes are sampled so that
this takes seconds; `GATEHOUSE_EVERY_BYTE=1 pytest tests/gateway/audit/test_attacks.py` changes every single one.
"""

from __future__ import annotations

import os
import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.audit.birth import Birth
from gateway.audit.epochs import certificate_path
from gateway.audit.files import OsFiles
from gateway.audit.keys import load_signer
from gateway.audit.note import Signer
from gateway.audit.record import canonical
from gateway.audit.report import Exit
from gateway.audit.seal import seal_path
from tests.gateway.audit.forging import DAY, DAYS, SECOND, T0, Forger, Record, announce
from tests.gateway.audit.harness import ORIGIN, exchange, segments_in, signer_in, trust_in, verified

EVERY_BYTE = bool(os.environ.get("GATEHOUSE_EVERY_BYTE"))
SMALL, LARGE = (1, 1) if EVERY_BYTE else (5, 251)
"""One in so many bytes is changed: of the signed files, and of the records."""


def day(epoch: int, records: int) -> list[Record]:
    """What a day leaves, in so many records."""
    ts = {"ts": str(T0 + epoch * DAY + SECOND)}
    begin = [*([announce(epoch)] if epoch else []), {"type": "gateway.start"}]
    steps = [step for number in range((records - len(begin)) // 3) for step in exchange(f"{epoch}-{number}")]
    rest = [{"type": "auth.fail"}] * (records - len(begin) - len(steps))
    return [{**record, **ts} for record in [*begin, *steps, *rest]]


def write(path: Path) -> Forger:
    forger = Forger(path)
    forger.segment(day(0, 70), seal=(0, T0 + 2 * SECOND, 0))
    anchor: Record = {"type": "checkpoint.anchor", "anchor": {"name": "worm", "kind": "file", "size": 70}}
    forger.segment([*day(1, 79), {**anchor, "ts": str(T0 + DAY + SECOND)}], seal=(0, T0 + DAY + 2 * SECOND, 1))
    forger.segment(day(2, 50))
    forger.heads(
        *[(size, T0 + 2 * SECOND, 0) for size in (1, 35, 70)],
        *[(size, T0 + DAY + 2 * SECOND, 1) for size in (80, 150)],
        *[(size, T0 + 2 * DAY + 2 * SECOND, 2) for size in (160, 200)],
    )
    proof = {"note": forger.head(70, T0 + 2 * SECOND, 0).decode(), "path": "test-one-audit/0000000000000070.checkpoint"}
    root = b64encode(forger.roots[70]).decode()
    line = {"name": "worm", "kind": "file", "size": 70, "root": root, "ts": str(T0 + 3 * SECOND), "proof": proof}
    (forger.directory / "anchors.log").write_bytes(canonical(line) + b"\n")
    return forger


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacked")
    write(path)
    report = verified(path)
    assert (report.finding, report.records, report.epoch, report.seals) == (None, 200, 2, 2)
    return path


@pytest.fixture
def copy(log: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(log, tmp_path / "copy"))


@contextmanager
def kept(file: Path) -> Iterator[bytes]:
    """Puts the file back."""
    data = file.read_bytes()
    yield data
    file.write_bytes(data)


def signed_files(path: Path) -> list[Path]:
    log = path / "log"
    names = ["LOG", "checkpoint", "checkpoints.log", "anchors.log"]
    return [*(log / name for name in names), *sorted(log.glob("keys/*")), *sorted(log.glob("seg/*.seal"))]


def harmless(file: Path, data: bytes, at: int) -> bool:
    """What nobody signed and nothing depends on: when a line of `anchors.log` was written, and where its copy lies."""
    if file.name != "anchors.log":
        return False
    spans = [(data.index(b'"path":"') + 1, data.index(b'"},"root"')), (data.index(b'"ts":"') + 6, len(data) - 3)]
    return any(begin <= at < end for begin, end in spans) or at == len(data) - 1


def test_every_changed_byte_is_found(copy: Path) -> None:
    for file in (*signed_files(copy), *segments_in(copy)):
        with kept(file) as data:
            for at in range(0, len(data), LARGE if file.suffix == ".jsonl" else SMALL):
                if harmless(file, data, at):
                    continue
                file.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
                assert verified(copy).exit >= Exit.ALTERED, f"{file.name} byte {at}"


def test_every_deleted_doubled_or_swapped_line_is_found(copy: Path) -> None:
    for file in (*signed_files(copy), *segments_in(copy)):
        with kept(file) as data:
            lines = data.splitlines(keepends=True)
            for at in range(0, len(lines), 7 if file.suffix == ".jsonl" and not EVERY_BYTE else 1):
                deleted = lines[:at] + lines[at + 1 :]
                doubled = [*lines[: at + 1], *lines[at:]]
                swapped = [*lines[:at], *lines[at : at + 2][::-1], *lines[at + 2 :]]
                for kind, changed in (("deleted", deleted), ("doubled", doubled), ("swapped", swapped)):
                    looks_torn = file.name == "checkpoints.log" and kind == "doubled" and at == len(lines) - 1
                    if changed == lines or looks_torn or (file.name == "anchors.log" and kind == "doubled"):
                        continue
                    file.write_bytes(b"".join(changed))
                    found = verified(copy).exit >= Exit.ALTERED
                    assert found or _says_the_same(lines[at], kind), f"{file.name} line {at} {kind}"


def _says_the_same(line: bytes, kind: str) -> bool:
    """A signature that is there twice, or two in another order, is the same statement."""
    return kind != "deleted" and line.startswith("— ".encode())


def test_every_missing_file_is_found(copy: Path) -> None:
    for file in (*signed_files(copy), *segments_in(copy)):
        with kept(file):
            file.unlink()
            assert verified(copy).exit >= Exit.ALTERED, file.name


def code_of(path: Path) -> tuple[Exit, str | None]:
    report = verified(path)
    return report.exit, report.finding.code if report.finding is not None else None


def test_old_entries_signed_again_with_todays_key_are_found(tmp_path: Path) -> None:
    """The journal's hole, CVE-2023-31438: every signature and link holds, but not under the key of those records."""
    forger = write(tmp_path)
    forger.heads(*[(size, T0 + 2 * DAY + 2 * SECOND, 2) for size in (1, 70, 150, 200)])
    assert code_of(tmp_path) == (Exit.ALTERED, "checkpoint_epoch")


def test_epoch_taken_out_of_the_chain_is_found(copy: Path) -> None:
    """CVE-2023-31439: the chain of epochs has to have no gap."""
    certificate_path(copy / "log", 1).unlink()
    assert code_of(copy) == (Exit.INCOMPLETE, "epoch_missing")
    certificate_path(copy / "log", 2).unlink()
    assert code_of(copy) == (Exit.INCOMPLETE, "epoch_missing"), "the records announce an epoch that nothing certifies"
    certificate_path(copy / "log", 0).unlink()
    assert code_of(copy) == (Exit.INCOMPLETE, "epoch_missing")


def test_swapped_certificates_are_found(copy: Path) -> None:
    one, two = (certificate_path(copy / "log", number) for number in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert code_of(copy) == (Exit.ALTERED, "epoch_certificate")


@pytest.mark.parametrize(
    ("begin", "end", "signers", "key"),
    [
        ("time", "longer", "log", 1),
        ("time", "longer", "before", 1),
        ("time", "longer", "another", 1),
        ("early", "time", "both", 1),
        ("time", "time", "both", 0),
        ("time", "time", "both", 2),
    ],
)
def test_certificate_that_was_made_by_one_thief_or_says_another_time_is_found(
    copy: Path, begin: str, end: str, signers: str, key: int
) -> None:
    forger = object.__new__(Forger)
    forger.directory = copy / "log"
    log_signer = signer_of_log(copy)
    from_ns = DAYS[1][0] - (61 * SECOND if begin == "early" else 0)
    until_ns = DAYS[1][1] + (DAY if end == "longer" else 0)
    by = {
        "log": [log_signer],
        "before": [signer_in(0)],
        "another": [log_signer, signer_in(5)],
        "both": [log_signer, signer_in(0)],
    }[signers]
    forger.certify(1, from_ns, until_ns, by, key=key)
    assert code_of(copy) == (Exit.ALTERED, "epoch_certificate")


def test_validity_that_was_extended_by_both_keys_does_not_help_the_next_epoch(copy: Path) -> None:
    """Even who has both keys cannot let an epoch reach over the next one."""
    forger = object.__new__(Forger)
    forger.directory = copy / "log"
    forger.certify(1, DAYS[1][0], DAYS[1][1] + 61 * SECOND, [signer_of_log(copy), signer_in(0)])
    assert code_of(copy) == (Exit.ALTERED, "epoch_certificate")


def signer_of_log(path: Path) -> Signer:
    return load_signer(path / "keys" / "audit.pem", ORIGIN, OsFiles())


def test_log_of_the_old_version_cannot_be_made_of_a_new_one(copy: Path) -> None:
    """Without the log key `LOG` cannot be put back to version 1, where nobody asks for epochs and seals."""
    thief = signer_in(2)
    text = Birth(1, trust_in(copy), T0).text()
    (copy / "log" / "LOG").write_bytes(thief.sign(text))
    assert code_of(copy) == (Exit.ALTERED, "log_note")


def test_log_cut_back_below_its_last_anchor_is_a_rollback(tmp_path: Path) -> None:
    forger = write(tmp_path)
    for segment in segments_in(tmp_path)[1:]:
        segment.unlink()
        seal_path(segment).unlink(missing_ok=True)
    forger.heads((1, T0 + 2 * SECOND, 0), (35, T0 + 2 * SECOND, 0))
    first = segments_in(tmp_path)[0]
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:35]))
    seal_path(first).unlink()
    assert code_of(tmp_path) == (Exit.ROLLBACK, "anchor")


def test_seal_moved_to_another_segment_is_found(copy: Path) -> None:
    one, two = segments_in(copy)[:2]
    shutil.copy(seal_path(one), seal_path(two))
    assert code_of(copy) == (Exit.ALTERED, "seal")
    assert verified(copy).records == 150


def test_head_by_an_expired_key_is_found(tmp_path: Path) -> None:
    forger = write(tmp_path)
    forger.heads((70, T0 + 2 * SECOND, 0), (150, T0 + DAY + 2 * SECOND, 1), (200, T0 + 2 * DAY + 90 * SECOND, 1))
    assert code_of(tmp_path) == (Exit.ALTERED, "checkpoint")
