"""The key of the digests is made once, belongs to its owner alone, and is never replaced by a worse one."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.audit.errors import AuditError
from gateway.secret import KEY_BYTES, SecretError, digest_key, make_secret, read_secret
from tests.gateway.audit.harness import FaultyFiles, nth


def refused(directory: Path) -> AuditError:
    with pytest.raises(AuditError) as error:
        digest_key(directory)
    return error.value


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "keys"
    old = os.umask(0)  # the mode must not hang on what the operator's shell has set
    try:
        key = digest_key(directory)
    finally:
        os.umask(old)
    assert len(key) == KEY_BYTES
    assert key != bytes(KEY_BYTES)
    assert stat.S_IMODE((directory / "digest.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert digest_key(directory) == key


def test_two_sites_do_not_share_a_key(tmp_path: Path) -> None:
    assert digest_key(tmp_path / "a") != digest_key(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660])
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    digest_key(tmp_path)
    (tmp_path / "digest.key").chmod(mode)
    error = refused(tmp_path)
    assert error.code == "audit_key_unsafe"
    assert f"{mode:04o}" in str(error)


@pytest.mark.parametrize("size", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    """Overwriting it would make every earlier digest unverifiable."""
    path = tmp_path / "digest.key"
    path.write_bytes(b"x" * size)
    path.chmod(0o600)
    error = refused(tmp_path)
    assert error.code == "audit_key_missing"
    assert path.read_bytes() == b"x" * size
    assert "xx" not in str(error).replace(str(tmp_path), "")


def test_a_place_that_cannot_hold_a_key_is_an_audit_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file" / "keys").code == "audit_key_missing"
    (tmp_path / "keys" / "digest.key").mkdir(parents=True)
    assert refused(tmp_path / "keys").code in ("audit_key_missing", "audit_key_unsafe")
    (tmp_path / "dangling").mkdir()
    (tmp_path / "dangling" / "digest.key").symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path / "dangling").code == "audit_key_missing"


def test_several_starters_at_once_never_hold_different_keys(tmp_path: Path) -> None:
    """One makes the key; another may meet it half written, and then refuses to start rather than use it."""

    def start(_: int) -> bytes | None:
        try:
            return digest_key(tmp_path)
        except AuditError:
            return None

    with ThreadPoolExecutor(8) as pool:
        keys = {key for key in pool.map(start, range(32)) if key}
    assert keys == {digest_key(tmp_path)}


def test_a_secret_is_durable_under_its_name_before_anything_depends_on_it(tmp_path: Path) -> None:
    """Its bytes, then its name; and the name of each directory that was made for it."""
    files = FaultyFiles()
    make_secret(tmp_path / "a" / "b" / "one.key", files)
    assert files.done == [*["make_directory", "sync_directory"] * 2, "open", "write", "datasync", "sync_directory"]


@pytest.mark.parametrize("step", range(4))
def test_a_disk_that_fails_on_the_way_is_told(tmp_path: Path, step: int) -> None:
    with pytest.raises(SecretError, match="cannot be created") as error:
        make_secret(tmp_path / "one.key", FaultyFiles(nth(step)))
    assert error.value.kind == "missing"


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.key"
    make_secret(path)
    before = read_secret(path)
    make_secret(path)
    assert read_secret(path) == before
