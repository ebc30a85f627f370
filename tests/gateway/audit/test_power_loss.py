"""A power cut at any operation, after which any part of what was not synced may be gone: promises still hold.

Forgetful keeps what is surely on disk apart from what is only in memory. After the cut each unsynced write, cut and
rename is kept or lost at the whim of Hypothesis, also in part and out of order; lost writes before kept ones are holes.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit.epoch_keys import DAY_NS
from gateway.audit.errors import AuditUnavailable
from gateway.audit.files import OsFiles
from gateway.audit.merkle import leaf_hash
from gateway.audit.writer import Receipt
from tests.gateway.audit.harness import FixedClock, exchange, lines_in, opened, types_in, verified


class PowerCut(BaseException):
    """The machine is off; nothing more happens."""


@dataclass
class Content:
    """One file's life: ("write", offset, data) and ("cut", size), the first `synced` of them for sure."""

    steps: list[tuple[str, int, bytes]] = field(default_factory=list)
    synced: int = 0
    size: int = 0


@dataclass
class Folder:
    """Names in one directory: (name, content) set or (name, None) removed, the first `synced` steps for sure."""

    steps: list[list[tuple[str, Content | None]]] = field(default_factory=list)
    synced: int = 0


class Forgetful(OsFiles):
    """Works on real files, and keeps book of what a power cut could take away."""

    def __init__(self, cut_at: int) -> None:
        self.left = cut_at
        self.folders: dict[Path, Folder] = {}
        self.contents: dict[Path, Content] = {}
        self.opened: dict[int, Content] = {}
        self.places: dict[int, int | None] = {}
        """Where the next write goes; None: to the end."""

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def _folder(self, path: Path) -> Folder:
        return self.folders.setdefault(path.parent, Folder())

    def open(self, path: Path, flags: int) -> int:
        self._step()
        descriptor = super().open(path, flags)
        if path not in self.contents:
            self.contents[path] = Content()
            self._folder(path).steps.append([(path.name, self.contents[path])])
        content = self.opened[descriptor] = self.contents[path]
        self.places[descriptor] = None if flags & os.O_APPEND else 0
        if flags & os.O_TRUNC:
            content.steps.append(("cut", 0, b""))
            content.size = 0
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self._step()
        content, place = self.opened[descriptor], self.places[descriptor]
        at = content.size if place is None else place
        content.steps.append(("write", at, bytes(data)))
        content.size = max(content.size, at + len(data))
        self.places[descriptor] = None if place is None else at + len(data)
        return super().write(descriptor, data)

    def datasync(self, descriptor: int) -> None:
        self._step()
        content = self.opened[descriptor]
        content.synced = len(content.steps)

    def sync_directory(self, path: Path) -> None:
        self._step()
        folder = self.folders.setdefault(path, Folder())
        folder.synced = len(folder.steps)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step()
        content = self.opened[descriptor]
        content.steps.append(("cut", size, b""))
        content.size = size
        super().truncate(descriptor, size)

    def allocate(self, descriptor: int, size: int) -> None:
        self._step()
        super().allocate(descriptor, size)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        content = self.contents[new] = self.contents.pop(old)
        self._folder(old).steps.append([(old.name, None), (new.name, content)])
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._step()
        self._folder(path).steps.append([(path.name, None)])
        del self.contents[path]
        super().unlink(path)

    def close(self, descriptor: int) -> None:
        del self.opened[descriptor]
        super().close(descriptor)

    def power_off(self) -> None:
        for descriptor in list(self.opened):
            self.close(descriptor)


def after_the_cut(files: Forgetful, base: Path, target: Path, data: st.DataObject) -> None:
    """Build in `target` one of the states the disk below `base` may be found in."""
    for folder_path, folder in files.folders.items():
        place = target / folder_path.relative_to(base)
        place.mkdir(parents=True, exist_ok=True)
        names: dict[str, Content | None] = {}
        for number, step in enumerate(folder.steps):
            if number < folder.synced or data.draw(st.booleans(), "directory step kept"):
                names.update(step)
        for name, content in names.items():
            if content is not None:
                (place / name).write_bytes(_bytes_of(content, data))
                (place / name).chmod(0o600)
    (target / "log" / "seg").mkdir(parents=True, exist_ok=True)


def _bytes_of(content: Content, data: st.DataObject) -> bytes:
    found = bytearray()
    for number, (kind, at, written) in enumerate(content.steps):
        kept = len(written)
        if number >= content.synced:
            choice = data.draw(st.sampled_from(["kept", "lost", "part"]), "step")
            if choice == "lost":
                continue
            if choice == "part" and kind == "write":
                kept = data.draw(st.integers(0, len(written)), "bytes kept")
        if kind == "cut":
            del found[at:]
        else:
            found.extend(bytes(max(0, at - len(found))))
            found[at : at + kept] = written[:kept]
    return bytes(found)


def live_until_the_cut(path: Path, files: Forgetful) -> list[Receipt]:
    """Three starts; the third finds a log that was left without a stop. Each but the first begins in a new epoch, and
    another one begins while it runs."""
    promised: list[Receipt] = []
    try:
        for start in range(3):
            clock = FixedClock(1_800_000_000 * 10**9 + start * 10**15, boot=start)
            log = opened(path, files, clock, segment_bytes=2**20, epoch_s=86_400)
            for number in range(2):
                results = log.writer.write(exchange(f"{start}-{number}"))
                promised += [result for result in results if isinstance(result, Receipt)]
                clock.wall += number * start * DAY_NS
                clock.mono += number * start * DAY_NS
                log.writer.sign_head()
            if start == 1:
                log.writer.seal_segment()
            log.close()
    except (PowerCut, AuditUnavailable):
        files.power_off()
    return promised


@settings(
    max_examples=int(os.environ.get("GATEHOUSE_POWER_CUTS", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(0, 230), st.data())
def test_promises_hold_after_a_power_cut_at_any_moment(cut_at: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch, "before"), Path(scratch, "after")
        before.mkdir()
        files = Forgetful(cut_at)
        promised = live_until_the_cut(before, files)
        after_the_cut(files, before, after, data)
        log = opened(after, clock=FixedClock(1_900_000_000 * 10**9, boot=9))
        log.writer.sign_head()
        log.close()
        leaves = [leaf_hash(line) for line in lines_in(after)]
        for receipt in promised:
            assert leaves[receipt.seq] == receipt.leaf
        report = verified(after)
        assert report.finding is None, report.finding
        assert report.open_exchanges == []
        assert types_in(after)[-1] == "gateway.start"
        assert len(list((after / "keys" / "epochs").iterdir())) == 1, "keys of earlier epochs are gone"
