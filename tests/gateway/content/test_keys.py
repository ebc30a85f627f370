"""A blob opens for what it was sealed for, with the key it was sealed with, unaltered; otherwise it does not."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content.errors import ContentError, ContentMissing
from gateway.content.keys import MasterKey, Place, load_master_key, seal, unseal, unwrap_dek, wrap_dek

PLACE = Place("r" * 32, "req-1", "tenant-a", "default", "request", "site/gate")
DEK = b"d" * 32


@given(st.binary(max_size=2000))
def test_what_was_sealed_is_what_is_read(text: bytes) -> None:
    blob = seal(DEK, text, PLACE)
    assert unseal(DEK, blob, PLACE) == text
    assert len(blob) == len(text) + 28


@pytest.mark.parametrize("name", [field.name for field in fields(Place)])
def test_no_blob_stands_for_another(name: str) -> None:
    blob = seal(DEK, b"text", PLACE)
    with pytest.raises(ContentMissing) as error:
        unseal(DEK, blob, replace(PLACE, **{name: "another"}))
    assert error.value.code == "content_altered"


def test_every_flipped_byte_is_noticed() -> None:
    blob = seal(DEK, b"text", PLACE)
    for index in range(len(blob)):
        with pytest.raises(ContentMissing):
            unseal(DEK, blob[:index] + bytes([blob[index] ^ 1]) + blob[index + 1 :], PLACE)
    for cut in (b"", blob[:11], blob[:-1]):
        with pytest.raises(ContentMissing):
            unseal(DEK, cut, PLACE)


def test_the_same_text_never_looks_the_same() -> None:
    assert seal(DEK, b"text", PLACE) != seal(DEK, b"text", PLACE)


def test_a_wrap_opens_with_its_key_for_its_purpose_only() -> None:
    master, kek = MasterKey(b"m" * 32), os.urandom(32)
    wrapped = master.wrap(kek, "kek-1 for alice")
    assert master.unwrap(wrapped, "kek-1 for alice") == kek
    assert unwrap_dek(kek, wrap_dek(kek, DEK)) == DEK
    for other, purpose, data in (
        (master, "kek-1 for bob", wrapped),
        (MasterKey(b"n" * 32), "kek-1 for alice", wrapped),
        (master, "kek-1 for alice", wrapped[:-1] + bytes([wrapped[-1] ^ 1])),
        (master, "kek-1 for alice", b""),
    ):
        with pytest.raises(ContentMissing):
            other.unwrap(data, purpose)


def test_a_name_is_found_again_within_its_tenant_and_by_its_key_only() -> None:
    master = MasterKey(b"m" * 32)
    assert master.name_digest("a", "alice") == master.name_digest("a", "alice")
    others = {MasterKey(b"n" * 32).name_digest("a", "alice"), master.name_digest("b", "alice")}
    assert master.name_digest("a", "alice") not in others
    assert master.check not in (b"m" * 32, MasterKey(b"n" * 32).check)


def test_the_master_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "master.key"
    first = load_master_key(path, may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_master_key(path, may_create=True).check == first.check
    path.chmod(0o640)
    with pytest.raises(ContentError) as error:
        load_master_key(path, may_create=False)
    assert error.value.code == "content_key_unsafe"


@pytest.mark.parametrize(("content", "code"), [(None, "content_key_missing"), (b"short", "content_key_wrong")])
def test_a_master_key_that_is_none_is_refused(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "master.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(ContentError) as error:
        load_master_key(path, may_create=False)
    assert error.value.code == code
    if content:
        assert content.decode() not in str(error.value)
