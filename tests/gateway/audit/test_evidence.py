"""What comes from outside: heads that were kept, anchors, witnesses, receipts."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.chunk import Event
from gateway.audit.cosignature import WitnessKey
from gateway.audit.epochs import Epoch, certificate_path, load_chain
from gateway.audit.evidence import Evidence, Given
from gateway.audit.merkle import leaf_hash
from gateway.audit.receipt import sign
from gateway.audit.record import canonical
from gateway.audit.report import Exit, Report
from gateway.audit.verify import verify
from tests.gateway.audit.forging import DAY, SECOND, T0, Forger, two_days
from tests.gateway.audit.harness import lines_in, signer_in, trust_in, verified, verify_alone

WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))
WITNESS_KEY = WitnessKey("w.example/one", WITNESS.public_key().public_bytes_raw())


def check(path: Path, **given: object) -> Report:
    return verify(path / "log", trust_in(path), given=Given(**given))  # type: ignore[arg-type]


def code_of(report: Report) -> tuple[Exit, str | None]:
    return report.exit, report.finding.code if report.finding is not None else None


def kept(path: Path, note: bytes, name: str = "kept") -> Path:
    (path / name).write_bytes(note)
    return path / name


def anchor(forger: Forger, head: tuple[int, int, int], **more: object) -> bytes:
    note = forger.head(*head)
    root = b64encode(forger.roots[head[0]]).decode()
    line = {"name": "a", "kind": "file", "size": head[0], "root": root, "ts": str(T0), "proof": {"note": note.decode()}}
    return canonical({**line, **more}) + b"\n"


def cosign(note: bytes, seconds: int = 1_800_000_009) -> str:
    text = note.partition(b"\n\n")[0].decode() + "\n"
    signature = WITNESS.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    return f"— {WITNESS_KEY.name} {b64encode(WITNESS_KEY.key_id + seconds.to_bytes(8, 'big') + signature).decode()}"


def test_head_that_the_auditor_kept_is_what_the_log_is_anchored_to(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    paths = kept(tmp_path, forger.head(2, T0, 0), "a"), kept(tmp_path, forger.head(4, T0 + DAY, 1), "b")
    report = check(tmp_path, checkpoints=paths)
    assert (report.finding, report.anchored, report.anchored_ns, report.anchored_by) == (None, 4, T0 + DAY, "b")
    assert report.statement.endswith("by b; the window after 4 rests on local keys only")
    found = verify_alone(tmp_path, *paths)
    assert (found["exit"], "from 4 on this rests on" in found["proved"]) == (0, True)


def test_head_that_the_log_does_not_lead_to_is_a_fork(tmp_path: Path) -> None:
    forger, other = two_days(tmp_path), Forger(tmp_path / "other")
    other.segment([{"type": "auth.fail"}] * 9)
    foreign = signer_in(5).sign(forger.head(2, T0, 0).partition(b"\n\n")[0].decode() + "\n")
    for note in (other.head(2, T0, 0), other.head(6, T0, 0), foreign, b"nonsense"):
        path = kept(tmp_path, note)
        assert code_of(check(tmp_path, checkpoints=(path,))) == (Exit.ROLLBACK, "given_head")
        assert (verify_alone(tmp_path, path)["exit"], verify_alone(tmp_path, path)["code"]) == (3, "given_head")


def test_epoch_that_was_taken_away_with_its_heads_is_shown_by_a_kept_head(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    path = kept(tmp_path, forger.head(5, T0 + DAY, 1))
    for number in (1, 2):
        certificate_path(forger.directory, number).unlink()
    (forger.directory / "seg" / "0000000000000002.jsonl").unlink()
    forger.heads((1, T0, 0), (2, T0, 0))
    assert code_of(verified(tmp_path)) == (Exit.PROVED, None), "the log alone cannot know"
    assert code_of(check(tmp_path, checkpoints=(path,))) == (Exit.ROLLBACK, "given_head")


def test_heads_in_the_directory_of_an_anchor_are_compared(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    drop = tmp_path / "drop" / "test-one-audit"
    drop.mkdir(parents=True)
    assert code_of(check(tmp_path, anchors=tmp_path / "drop")) == (Exit.INCOMPLETE, "anchor_missing")
    (drop / "0000000000000004.checkpoint").write_bytes(forger.head(4, T0 + DAY, 1))
    report = check(tmp_path, anchors=tmp_path / "drop")
    assert (report.finding, report.anchored) == (None, 4)
    (forger.directory / "seg" / "0000000000000002.jsonl").unlink()
    forger.heads((1, T0, 0), (2, T0, 0))
    assert code_of(check(tmp_path, anchors=tmp_path / "drop")) == (Exit.ROLLBACK, "given_head")


def test_log_cut_below_its_last_anchor_is_a_rollback(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    (forger.directory / "anchors.log").write_bytes(anchor(forger, (2, T0, 0)) + anchor(forger, (5, T0 + DAY, 1)))
    report = verified(tmp_path)
    assert (report.finding, report.anchor_lines, report.anchored) == (None, 2, 0), "nobody outside vouches for a line"
    segment = forger.directory / "seg" / "0000000000000002.jsonl"
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:2]))
    forger.heads((2, T0, 0), (4, T0 + DAY, 1))
    assert code_of(verified(tmp_path)) == (Exit.ROLLBACK, "anchor")


def test_line_that_is_not_of_its_head_is_altered(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    file = forger.directory / "anchors.log"
    wrong_key = signer_in(5).sign(forger.head(2, T0, 0).partition(b"\n\n")[0].decode() + "\n").decode()
    for line in (
        anchor(forger, (2, T0, 0), size=3),
        anchor(forger, (2, T0, 0), root=b64encode(bytes(32)).decode()),
        anchor(forger, (2, T0, 0), proof={"note": wrong_key}),
        anchor(forger, (2, T0, 0), proof={}),
        b"{}\n",
    ):
        file.write_bytes(line)
        assert code_of(verified(tmp_path)) == (Exit.ALTERED, "anchor")


def test_record_of_an_anchor_needs_its_line(tmp_path: Path) -> None:
    forger = Forger(tmp_path)
    forger.segment(
        [{"type": "auth.fail"}, {"type": "checkpoint.anchor", "anchor": {"name": "a", "kind": "file", "size": 1}}]
    )
    forger.heads((1, T0, 0), (2, T0, 0))
    assert code_of(verified(tmp_path)) == (Exit.INCOMPLETE, "anchor_missing")
    (forger.directory / "anchors.log").write_bytes(anchor(forger, (1, T0, 0)) + b"torn")
    assert code_of(verified(tmp_path)) == (Exit.PROVED, None)


def test_an_anchor_of_a_log_that_grows_meanwhile_is_not_missed(tmp_path: Path) -> None:
    """The line was not there when the verification began; the record that names it came after the line."""
    forger = two_days(tmp_path)
    evidence = Evidence(forger.directory, Given())
    event = Event(0, "checkpoint.anchor", "", {"anchor": {"name": "a", "kind": "file", "size": 4}})
    assert evidence.take(9, event) is not None
    (forger.directory / "anchors.log").write_bytes(anchor(forger, (4, T0 + DAY, 1)))
    assert evidence.take(9, event) is None


def test_only_a_witness_whose_key_is_given_counts(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    note = forger.head(4, T0 + DAY, 1)
    proof = {"note": note.decode(), "cosignatures": [cosign(note)]}
    file = forger.directory / "anchors.log"
    file.write_bytes(anchor(forger, (4, T0 + DAY, 1), kind="witness", proof=proof))
    assert check(tmp_path).anchored == 0
    report = check(tmp_path, witnesses=(WITNESS_KEY,))
    assert (report.anchored, report.anchored_ns) == (4, 1_800_000_009 * SECOND)
    assert report.anchored_by == "witness w.example/one"
    other = cosign(forger.head(4, T0 + DAY + 1, 1))
    file.write_bytes(anchor(forger, (4, T0 + DAY, 1), kind="witness", proof={**proof, "cosignatures": [other]}))
    assert code_of(check(tmp_path, witnesses=(WITNESS_KEY,))) == (Exit.ALTERED, "cosignature")


def receipts(path: Path, *lines: str) -> Path:
    return kept(path, "".join(f"{line}\n" for line in lines).encode(), "receipts")


def test_receipts_name_records_that_are_there(tmp_path: Path) -> None:
    forger = two_days(tmp_path)
    leaves = [leaf_hash(line) for line in lines_in(tmp_path)]
    epochs = verify_chain(forger)
    good = [sign(signer_in(epoch), epochs[epoch], seq, leaves[seq]) for epoch, seq in ((0, 1), (1, 4), (1, 4))]
    report = check(tmp_path, receipts=receipts(tmp_path, "", good[0], f"Gatehouse-Receipt: {good[1]}", good[2]))
    assert (report.finding, report.receipts) == (None, 2)
    for bad in (
        sign(signer_in(1), epochs[1], 4, leaves[3]),
        sign(signer_in(1), epochs[1], 5, leaves[3]),
        sign(signer_in(2), epochs[1], 4, leaves[4]),
        good[0].replace("k=0", "k=7"),
        "nonsense",
    ):
        assert code_of(check(tmp_path, receipts=receipts(tmp_path, *good, bad))) == (Exit.ROLLBACK, "receipt")


def verify_chain(forger: Forger) -> list[Epoch]:
    return list(load_chain(forger.directory, forger.log_signer.verifier).epochs)


@pytest.mark.parametrize("name", ["checkpoints", "receipts"])
def test_file_that_is_not_there_is_the_callers_mistake(tmp_path: Path, name: str) -> None:
    two_days(tmp_path)
    missing = tmp_path / "missing"
    with pytest.raises(OSError, match="missing"):
        check(tmp_path, **{name: (missing,) if name == "checkpoints" else missing})
