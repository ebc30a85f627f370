"""What `keep` returned for is on disk, sealed; what could not be kept is refused; and a crash loses nothing named."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from gateway.audit.files import OsFiles
from gateway.content.errors import ContentError, ContentMissing, ContentUnavailable
from gateway.content.segments import blobs
from gateway.content.store import ContentStore
from tests.gateway.content.opened import CANARY, ORIGIN, everything_in, item, opened, settings

ROOT = Path(__file__).resolve().parents[3]


class CountingDisk(OsFiles):
    """Counts syncs of files; fails them while told so."""

    def __init__(self) -> None:
        self.syncs, self.fails = 0, False

    def datasync(self, descriptor: int) -> None:
        if self.fails:
            raise OSError(28, os.strerror(28))
        self.syncs += 1
        super().datasync(descriptor)


async def test_what_was_kept_is_read_again_after_a_restart_and_lies_nowhere_in_clear(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        sealed = await store.keep(item())
        assert CANARY.encode() not in everything_in(tmp_path)
    async with opened(tmp_path) as store:
        [row] = await store.do(lambda keys: keys.rows("req-1"))
        assert await store.read(row) == {"text": CANARY}
    assert row.place.ref == sealed.place.ref
    assert CANARY.encode() not in everything_in(tmp_path)


async def test_the_row_for_the_record_is_true_of_the_blob(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        said = (await store.keep(item(class_="hipaa-6y"))).as_json()
    [found] = blobs(next((tmp_path / "state" / "content" / "hipaa-6y").iterdir()))
    assert hashlib.sha256(found.data).digest() == b64decode(str(said["ct_sha256"]))
    assert said["bytes"] == len(found.data)
    assert {key: found.header[key] for key in ("ref", "kek_id", "class", "level", "bytes", "ct_sha256")} == said


async def test_many_at_once_share_their_syncs(tmp_path: Path) -> None:
    disk = CountingDisk()
    async with opened(tmp_path, disk) as store:
        await store.keep(item())
        before = disk.syncs
        sealed = await asyncio.gather(*(store.keep(item(f"text {n}", f"req-{n}")) for n in range(200)))
        assert disk.syncs - before < 20
        for n, one in enumerate(sealed):
            [row] = await store.do(lambda keys, ref=one.place.ref: keys.rows(ref))  # type: ignore[misc] # of the loop
            assert await store.read(row) == {"text": f"text {n}"}


async def test_a_disk_that_fails_refuses_and_a_probe_brings_the_store_back(tmp_path: Path) -> None:
    disk = CountingDisk()
    async with opened(tmp_path, disk) as store:
        await store.keep(item(req="before"))
        disk.fails = True
        with pytest.raises(ContentUnavailable):
            await store.keep(item(req="lost"))
        assert not store.healthy
        assert await store.do(lambda keys: keys.rows("lost")) == []
        disk.fails = False
        await store.probe()
        assert store.healthy
        await store.keep(item(req="after"))
        for req in ("before", "after"):
            [row] = await store.do(lambda keys, req=req: keys.rows(req))  # type: ignore[misc] # of the loop
            assert await store.read(row) == {"text": CANARY}


class DyingDisk(OsFiles):
    """Kills the process at one of its operations, before it."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self.is_armed = False

    def _die_at(self, operation: str) -> None:
        if self.is_armed and operation == self._operation:
            os.kill(os.getpid(), 9)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self._die_at("write")
        if self.is_armed and self._operation == "half":
            super().write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), 9)
        return super().write(descriptor, data)

    def datasync(self, descriptor: int) -> None:
        self._die_at("sync")
        super().datasync(descriptor)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.gateway.content.opened import item, opened
from tests.gateway.content.test_store import DyingDisk

async def main(directory, operation):
    disk = DyingDisk(operation)
    async with opened(directory, disk) as store:
        first = await store.keep(item(req="before"))
        (directory / "named").write_text(first.place.ref)
        disk.is_armed = True
        second = await store.keep(item(req="cut off"))
        (directory / "named").write_text(second.place.ref)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.parametrize("operation", ["write", "half", "sync"])
async def test_killed_while_it_keeps_nothing_that_was_acknowledged_is_lost(tmp_path: Path, operation: str) -> None:
    """Between keys and blob, in the middle of the blob, before its sync: its caller was told nothing."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), operation]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=False)
    assert killed.returncode == -9
    async with opened(tmp_path) as store:
        [row] = await store.do(lambda keys: keys.rows("before"))
        assert row.place.ref.encode() in (tmp_path / "named").read_bytes()
        assert await store.read(row) == {"text": CANARY}
        [cut] = await store.do(lambda keys: keys.rows("cut off"))
        if operation != "sync":
            with pytest.raises(ContentMissing):
                await store.read(cut)
        await store.keep(item(req="after"))
        [after] = await store.do(lambda keys: keys.rows("after"))
        assert await store.read(after) == {"text": CANARY}
        assert cut.place.ref != after.place.ref


async def test_a_blob_that_was_altered_or_is_gone_is_told_apart_from_an_erased_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.keep(item())
        [row] = await store.do(lambda keys: keys.rows("req-1"))
        path = tmp_path / "state" / "content" / row.spot.segment
        whole = path.read_bytes()
        for change, code in (
            (whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:], "content_altered"),
            (whole[:-9], "content_lost"),
            (b"", "content_lost"),
        ):
            path.write_bytes(change)
            with pytest.raises(ContentMissing) as error:
                await store.read(row)
            assert error.value.code == code
        path.write_bytes(whole)
        await store.do(lambda keys: keys.database.execute("DELETE FROM dek"))
        with pytest.raises(ContentMissing) as error:
            await store.read(row)
        assert error.value.code == "content_erased"


async def test_no_key_is_made_for_who_was_erased_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(lambda _: store.forget("sub_gone"))
        kept, refused = await asyncio.gather(
            store.keep(item(owner="sub_here")), store.keep(item(owner="sub_gone")), return_exceptions=True
        )
        assert not isinstance(kept, BaseException)
        assert isinstance(refused, ContentUnavailable)
        assert store.healthy


async def test_a_store_that_is_closed_or_whose_key_is_another_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.keep(item())
    with pytest.raises(ContentUnavailable):
        await store.keep(item())
    key = settings(tmp_path).master_key
    for change, code in ((b"x" * 32, "content_key_wrong"), (None, "content_key_missing")):
        key.write_bytes(change) if change else key.unlink()
        with pytest.raises(ContentError) as error:
            ContentStore.open(settings(tmp_path), tmp_path / "state", ORIGIN)
        assert error.value.code == code


async def test_text_that_has_no_form_is_its_own_trouble_only(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        bad, good = await asyncio.gather(
            store.keep(item("\ud800")), store.keep(item(req="good")), return_exceptions=True
        )
        assert isinstance(bad, UnicodeEncodeError)
        assert not isinstance(good, BaseException)
        assert store.healthy


async def test_a_class_that_nobody_configured_is_refused_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        async with asyncio.timeout(5):
            with pytest.raises(ContentUnavailable):
                await store.keep(item(class_="unknown"))
            await store.probe()
            await store.keep(item())
        [row] = await store.do(lambda keys: keys.rows("req-1"))
        assert await store.read(row) == {"text": CANARY}


async def test_a_bug_in_what_was_asked_belongs_to_who_asked(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(ZeroDivisionError):
            await store.do(lambda _: 1 // 0)
        await store.keep(item())


class BrokenDisk(OsFiles):
    """Fails once as nobody foresaw, and not with an Exception."""

    is_broken = False

    def datasync(self, descriptor: int) -> None:
        if self.is_broken:
            raise SystemExit(1)
        super().datasync(descriptor)


# The thread ends as it should for a bug: with its traceback on stderr.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_ever_for_a_store_whose_thread_is_gone(tmp_path: Path) -> None:
    disk = BrokenDisk()
    async with opened(tmp_path, disk) as store:
        disk.is_broken = True
        async with asyncio.timeout(5):
            for _ in range(2):
                with pytest.raises(ContentUnavailable, match="thread failed: SystemExit"):
                    await store.keep(item())
        assert not store.healthy
    assert not store.is_running
