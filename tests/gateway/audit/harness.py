"""A fixed clock, disks that fail or forget, and small logs to attack."""

from __future__ import annotations

import errno
import json
import os
import runpy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from zstandard import ZstdDecompressor, ZstdError

from gateway.audit.birth import Birth
from gateway.audit.clock import Clock
from gateway.audit.files import Files, OsFiles
from gateway.audit.keys import load_signer
from gateway.audit.note import Signer, VerifierKey
from gateway.audit.origin import open_origin
from gateway.audit.report import Report
from gateway.audit.settings import AuditSettings
from gateway.audit.start import open_writer
from gateway.audit.verify import load_trust, verify
from gateway.audit.writer import BatchWriter

ORIGIN = "test/one/audit"
YEARS_S = 10 * 365 * 86_400
"""One epoch for all that the clock of a test does, unless it asks for shorter ones."""
MODIFYING = (
    "open",
    "write",
    "datasync",
    "sync_directory",
    "truncate",
    "allocate",
    "rename",
    "unlink",
    "make_directory",
)


class FixedClock:
    """A millisecond passes with each look at it."""

    def __init__(self, wall_ns: int = 1_800_000_000 * 10**9, boot: int = 0) -> None:
        self.wall, self.mono, self.boots = wall_ns, 5_000_000_000, boot

    def wall_ns(self) -> int:
        self.wall += 1_000_000
        self.mono += 1_000_000
        return self.wall

    def mono_ns(self) -> int:
        return self.mono

    def new_boot(self) -> str:
        self.boots += 1
        return f"00000000-0000-4000-8000-{self.boots:012d}"


@dataclass
class FaultyFiles(OsFiles):
    """The real disk, until `fault` says otherwise for the n-th operation of all. Syncs only count, to be quick."""

    fault: Callable[[int, str], int | None] = lambda number, name: None
    """Gives an errno, or None to let the operation happen."""
    short: bool = False
    """A failing write takes half of its bytes first."""
    done: list[str] = field(default_factory=list)

    def _pass(self, name: str) -> None:
        number = len(self.done)
        self.done.append(name)
        code = self.fault(number, name)
        if code is not None:
            raise OSError(code, os.strerror(code))

    def open(self, path: Path, flags: int) -> int:
        self._pass("open")
        return super().open(path, flags)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        try:
            self._pass("write")
        except OSError:
            if self.short:
                super().write(descriptor, data[: len(data) // 2])
            raise
        return super().write(descriptor, data)

    def datasync(self, descriptor: int) -> None:
        self._pass("datasync")

    def sync_directory(self, path: Path) -> None:
        self._pass("sync_directory")

    def truncate(self, descriptor: int, size: int) -> None:
        self._pass("truncate")
        super().truncate(descriptor, size)

    def allocate(self, descriptor: int, size: int) -> None:
        self._pass("allocate")
        super().allocate(descriptor, size)

    def rename(self, old: Path, new: Path) -> None:
        self._pass("rename")
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._pass("unlink")
        super().unlink(path)

    def make_directory(self, path: Path) -> None:
        self._pass("make_directory")
        super().make_directory(path)


def nth(number: int, code: int = errno.EIO) -> Callable[[int, str], int | None]:
    return lambda at, _: code if at == number else None


def settings_in(path: Path, **more: object) -> AuditSettings:
    version = {"id": "one", "version": "0", "pid": 1}
    more = {"epoch_s": YEARS_S, **more}
    settings = {"directory": path / "log", "origin": ORIGIN, "key_path": path / "keys" / "audit.pem", **more}
    return AuditSettings(version=version, **settings)  # type: ignore[arg-type]


def put_test_key(path: Path) -> None:
    """Keys that are the same in every run: the log's, and those of its first epochs."""
    put_key(path / "keys" / "audit.pem", bytes(range(32)))
    for number in range(8):
        put_key(epoch_key_in(path, number), bytes([number] * 32))


def put_key(file: Path, seed: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)


def epoch_key_in(path: Path, number: int) -> Path:
    """Where the private key of an epoch lies."""
    return path / "keys" / "epochs" / f"test-one-audit-{number:08d}.key"


def signer_in(seed: int) -> Signer:
    """A key of somebody else, under the same name."""
    return Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32)))


def trust_in(path: Path) -> VerifierKey:
    return load_trust(path / "keys" / "test-one-audit.vkey")


def verified(path: Path) -> Report:
    """What both verifiers say: ours, and the script that knows the format's page alone. They have to agree.

    The script wants compressed segments unpacked: what is wrong with a compressed file only ours can say.
    """
    report = verify(path / "log", trust_in(path))
    alone = verify_alone_unpacked(path)
    if alone is None or (report.finding is not None and report.finding.code == "packed"):
        return report
    agreed = (int(report.exit), report.finding.code if report.finding else None, report.records)
    assert (alone["exit"], alone.get("code"), alone["records"]) == agreed, (alone, report.finding)
    return report


def verify_alone(path: Path, *kept: Path) -> dict[str, Any]:
    """docs/verify.py, in this process."""
    return dict(_script()["Log"](path / "log").verify(path / "keys" / "test-one-audit.vkey", *kept))


def verify_alone_unpacked(path: Path) -> dict[str, Any] | None:
    """The same of a copy in which `zstd -d` has left the segments that it can read beside the compressed ones."""
    packed = [one for one in (path / "log" / "seg").glob("*.zst") if not one.with_suffix("").exists()]
    if not packed:
        return verify_alone(path)
    assert verify_alone(path)["exit"] == 5
    with TemporaryDirectory() as copy:
        shutil.copytree(path, copy, dirs_exist_ok=True)
        for one in packed:
            plain = Path(copy) / "log" / "seg" / one.with_suffix("").name
            try:
                with one.open("rb") as source, plain.open("wb") as target:
                    ZstdDecompressor().copy_stream(source, target)
            except ZstdError:
                return None
        return verify_alone(Path(copy))


@cache
def _script() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[3] / "docs" / "verify.py"))


@dataclass
class Opened:
    """A log without its thread: every step happens when it is called."""

    writer: BatchWriter
    files: Files
    lock: int

    def close(self) -> None:
        self.writer.close()
        self.files.close(self.lock)


def opened(path: Path, files: Files | None = None, clock: Clock | None = None, **more: object) -> Opened:
    files, clock, settings = files or OsFiles(), clock or FixedClock(), settings_in(path, **more)
    origin = open_origin(settings.directory, settings.origin, settings.key_path, files, clock)
    try:
        return Opened(open_writer(settings, files, clock, origin), files, origin.lock)
    # Of a writer that is not to be, whatever the reason, which goes on: the next one in this process needs the lock.
    except BaseException:
        files.close(origin.lock)
        raise


def segments_in(path: Path) -> list[Path]:
    return sorted((path / "log" / "seg").glob("*.jsonl"))


def lines_in(path: Path) -> list[bytes]:
    return [line for file in segments_in(path) for line in file.read_bytes().splitlines()]


def records_in(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines_in(path)]


def types_in(path: Path) -> list[object]:
    return [record["type"] for record in records_in(path)]


def exchange(request: str) -> list[dict[str, object]]:
    """One exchange from admission to its end, as the pipeline writes it."""
    coverage = {"parts": 1, "parts_scanned": 1, "bytes": 9, "bytes_scanned": 9, "uncovered": []}
    decision = {"action": "allow", "outcome": "allow", "rules": []}
    admit = {"type": "request.admit", "stage": "admit", "req": request, "coverage": coverage, "decision": decision}
    progress = {
        "type": "response.progress",
        "stage": "progress",
        "req": request,
        "stream": {"released": 7, "received": 9},
    }
    return [admit, progress, {"type": "response.complete", "stage": "complete", "req": request}]


def small_log(path: Path, exchanges: int = 4, starts: int = 2, version: int = 2, **more: object) -> None:
    """A log of a few starts, each with whole exchanges, signed after each."""
    put_test_key(path)
    clock = FixedClock()
    if version == 1:
        begin_version_1(path, clock)
    for start in range(starts):
        log = opened(path, clock=clock, **more)
        for number in range(exchanges):
            log.writer.write(exchange(f"{start}-{number}"))
        log.writer.write([{"type": "gateway.stop", "stage": "complete"}])
        log.writer.sign_head()
        log.close()


def begin_version_1(path: Path, clock: Clock) -> None:
    """A log as older versions began it."""
    (path / "log" / "seg").mkdir(parents=True)
    signer = load_signer(path / "keys" / "audit.pem", ORIGIN, OsFiles())
    (path / "log" / "LOG").write_bytes(signer.sign(Birth(1, signer.verifier, clock.wall_ns()).text()))
