"""Writes logs with the real keys: links, hashes and signatures hold, so only the rules can find out what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from gateway.audit.birth import Birth
from gateway.audit.epochs import Epoch, certificate_path
from gateway.audit.files import OsFiles
from gateway.audit.keys import load_signer
from gateway.audit.merkle import Tree, leaf_hash
from gateway.audit.note import Checkpoint, Signer
from gateway.audit.record import canonical
from gateway.audit.seal import Seal, seal_path
from gateway.audit.segments import segment_path
from gateway.audit.writer import b64
from tests.gateway.audit.harness import ORIGIN, put_test_key, signer_in

SECOND = 10**9
T0 = 1_800_000_000 * SECOND
DAY = 86_400 * SECOND
DAYS = [(T0 + n * DAY, T0 + (n + 1) * DAY) for n in range(3)]
"""Three epochs that touch."""

Record = dict[str, object]
Head = tuple[int, int, int]
"""Size, time, and the epoch that signs."""

START: Record = {"type": "gateway.start", "ts": str(T0)}


def announce(epoch: int, **more: object) -> Record:
    key = {"epoch": epoch, "id": signer_in(epoch).verifier.key_id.hex()}
    return {"type": "key.epoch", "key": key, "ts": str(T0 + epoch * DAY), **more}


class Forger:
    """One log of version 2 with everything a verifier asks for, unless the caller leaves it out."""

    def __init__(self, path: Path, epochs: Sequence[tuple[int, int]] = DAYS) -> None:
        put_test_key(path)
        self.directory = path / "log"
        (self.directory / "seg").mkdir(parents=True)
        self.log_signer = load_signer(path / "keys" / "audit.pem", ORIGIN, OsFiles())
        note = self.log_signer.sign(Birth(2, self.log_signer.verifier, T0).text())
        (self.directory / "LOG").write_bytes(note)
        (path / "keys" / "test-one-audit.vkey").write_text(self.log_signer.verifier.vkey + "\n")
        self.tree, self.leaf, self.roots = Tree(), bytes(32), {0: Tree().root()}
        for number, (begin, end) in enumerate(epochs):
            self.certify(number, begin, end, [self.log_signer, *([signer_in(number - 1)] if number else [])])

    def certify(self, number: int, begin: int, end: int, signers: Sequence[Signer], key: int | None = None) -> None:
        verifier = signer_in(number if key is None else key).verifier
        note = signers[0].sign(Epoch(number, begin, end, verifier).text())
        for signer in signers[1:]:
            note = signer.cosign(note)
        path = certificate_path(self.directory, number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(note)

    def segment(self, records: Sequence[Record], seal: Head | None = None) -> Path:
        """Write a segment; `seal` gives its seal's time and epoch (its first number is not used)."""
        first, lines = self.tree.size, []
        for record in records:
            base = {"v": 1, "origin": ORIGIN, "seq": self.tree.size, "prev": b64(self.leaf), "boot": "b"}
            line = canonical({**base, "ts": str(T0), "mono": "7", **record})
            self.leaf = leaf_hash(line)
            self.tree.push(self.leaf)
            self.roots[self.tree.size] = self.tree.root()
            lines.append(line + b"\n")
        path = segment_path(self.directory, first)
        path.write_bytes(b"".join(lines))
        if seal is not None:
            self.seal(path, first, seal[1], seal[2])
        return path

    def seal(self, path: Path, first: int, time_ns: int, epoch: int) -> None:
        data = path.read_bytes()
        seal = Seal(ORIGIN, first, self.tree.size - 1, self.tree.root(), len(data), sha256(data).digest(), time_ns)
        seal_path(path).write_bytes(signer_in(epoch).sign(seal.text()))

    def head(self, size: int, time_ns: int, epoch: int) -> bytes:
        return signer_in(epoch).sign(Checkpoint(ORIGIN, size, self.roots[size], time_ns).text())

    def heads(self, *heads: Head) -> None:
        notes = [self.head(*head) for head in heads]
        (self.directory / "checkpoint").write_bytes(notes[-1])
        (self.directory / "checkpoints.log").write_bytes(b"".join(note + b"\n" for note in notes))


def two_days(path: Path) -> Forger:
    """Two segments, the second under epoch 1, announced and signed as it should be. Five records."""
    forger = Forger(path)
    forger.segment([START, {"type": "auth.fail"}], seal=(0, T0 + 5 * SECOND, 0))
    forger.segment(
        [announce(1), {"type": "gateway.start", "ts": str(T0 + DAY)}, {"type": "auth.fail", "ts": str(T0 + DAY)}]
    )
    forger.heads((1, T0, 0), (2, T0 + 5 * SECOND, 0), (4, T0 + DAY, 1), (5, T0 + DAY + SECOND, 1))
    return forger
