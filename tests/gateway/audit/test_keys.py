"""The key: private, outside the log, never replaced silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles
from gateway.audit.keys import create_signer, load_signer, trust_path
from gateway.audit.note import parse_vkey
from tests.gateway.audit.harness import FaultyFiles, nth

FILES = OsFiles()


def test_new_key_is_private_and_its_trust_file_opens_its_notes(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "audit.pem"
    signer = create_signer(path, "a/b", FILES)
    assert path.stat().st_mode & 0o777 == 0o600
    assert trust_path(path, "a/b") == tmp_path / "keys" / "a-b.vkey"
    assert parse_vkey(trust_path(path, "a/b").read_text()) == signer.verifier
    assert load_signer(path, "a/b", FILES).verifier == signer.verifier


def test_lost_trust_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    create_signer(path, "a", FILES)
    trust_path(path, "a").unlink()
    load_signer(path, "a", FILES)
    assert trust_path(path, "a").exists()


def test_trust_file_of_another_key_stops_the_start(tmp_path: Path) -> None:
    create_signer(tmp_path / "one.pem", "a", FILES)
    (tmp_path / "a.vkey").rename(tmp_path / "kept")
    create_signer(tmp_path / "two.pem", "a", FILES)
    with pytest.raises(AuditError) as caught:
        load_signer(tmp_path / "one.pem", "a", FILES)
    assert caught.value.code == "audit_key_mismatch"


def test_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    create_signer(path, "a", FILES)
    path.chmod(0o640)
    with pytest.raises(AuditError, match="0640") as caught:
        load_signer(path, "a", FILES)
    assert caught.value.code == "audit_key_unsafe"


def test_missing_key_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(AuditError) as caught:
        load_signer(tmp_path / "audit.pem", "a", FILES)
    assert caught.value.code == "audit_key_missing"
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_ed25519_key_are_refused_without_being_quoted(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    other = generate_private_key(SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"my-secret-text", pem):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(AuditError) as caught:
            load_signer(path, "a", FILES)
        assert caught.value.code == "audit_key_unsafe"
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("number", range(5))
def test_disk_that_fails_leaves_no_half_key(tmp_path: Path, number: int) -> None:
    path = tmp_path / "keys" / "audit.pem"
    with pytest.raises(AuditError) as caught:
        create_signer(path, "a", FaultyFiles(nth(number)))
    assert caught.value.code == "audit_dir_unwritable"
    assert not path.exists()
    create_signer(path, "a", FILES)
