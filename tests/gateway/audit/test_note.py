"""Signed notes: what is accepted, and that every changed byte is noticed."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.errors import NoteError, TrustError
from gateway.audit.note import (
    Checkpoint,
    Signer,
    VerifierKey,
    is_origin,
    open_note,
    parse_checkpoint,
    parse_vkey,
)

SIGNER = Signer("site/one/audit", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer("witness", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
HEAD = Checkpoint("site/one/audit", 7, bytes(32), 1_800_000_000_000_000_000)


def open_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """A checkpoint whose signature and origin hold."""
    return parse_checkpoint(open_note(note, key), key.name)


def test_key_id_and_text_form_follow_the_signed_note_format() -> None:
    key = SIGNER.verifier
    assert key.key_id == sha256(b"site/one/audit\n\x01" + key.key).digest()[:4]
    assert key.vkey == f"site/one/audit+{key.key_id.hex()}+{b64encode(bytes([1]) + key.key).decode()}"
    assert parse_vkey(key.vkey + "\n") == key


def test_published_example_of_the_format_is_read() -> None:
    """The key and note from the C2SP signed-note page and Go's sumdb/note package."""
    key = parse_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = (
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(note.encode(), key).startswith("If you think")


def test_every_changed_byte_of_a_note_is_noticed() -> None:
    note = SIGNER.sign(HEAD.text())
    assert open_checkpoint(note, SIGNER.verifier) == HEAD
    for at in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[at] ^= 1 << bit
            with pytest.raises(NoteError):
                open_checkpoint(bytes(changed), SIGNER.verifier)


def test_every_shortened_note_is_refused() -> None:
    note = SIGNER.sign(HEAD.text())
    for size in range(len(note)):
        with pytest.raises(NoteError):
            open_checkpoint(note[:size], SIGNER.verifier)


def test_signature_of_another_key_counts_for_nothing_and_does_no_harm() -> None:
    text = HEAD.text()
    cosigned = SIGNER.sign(text) + OTHER.sign(text).rpartition(b"\n\n")[2]
    assert open_checkpoint(cosigned, SIGNER.verifier) == HEAD
    with pytest.raises(NoteError, match="no signature by"):
        open_checkpoint(OTHER.sign(text), SIGNER.verifier)
    same_name = Signer("site/one/audit", Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34))))
    with pytest.raises(NoteError, match="no signature by"):
        open_checkpoint(same_name.sign(text), SIGNER.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "site/one/audit\n07\n{root}\ntime 5\n",
        "site/one/audit\n-1\n{root}\ntime 5\n",
        "site/two/audit\n7\n{root}\ntime 5\n",
        "site/one/audit\n7\n{root}\n",
        "site/one/audit\n7\n{root}\ntime 5\nmore\n",
        "site/one/audit\n7\nAAAA\ntime 5\n",
        "site/one/audit\n7\n{root}\ntime 05\n",
    ],
)
def test_signed_text_that_is_not_a_checkpoint_is_refused(text: str) -> None:
    note = SIGNER.sign(text.format(root=b64encode(bytes(32)).decode()))
    with pytest.raises(NoteError):
        open_checkpoint(note, SIGNER.verifier)


@pytest.mark.parametrize("text", ["", "name", "a+b", "a b+00000000+AA==", "site+00000000+" + "A" * 44])
def test_what_is_not_a_key_is_not_trusted(text: str) -> None:
    with pytest.raises(TrustError):
        parse_vkey(text)


def test_key_that_belongs_to_another_name_is_not_trusted() -> None:
    with pytest.raises(TrustError, match="belong together"):
        parse_vkey(SIGNER.verifier.vkey.replace("one", "two"))


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "a b", "a+b", "../a", "a\n", "ä", "a" * 201])
def test_names_that_would_break_notes_or_paths_are_no_origins(name: str) -> None:
    assert not is_origin(name)
    with pytest.raises(ValueError, match="origin"):
        VerifierKey(name, bytes(32))
