"""Cosignatures of witnesses, against the form that C2SP describes."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.cosignature import WitnessKey, parse_witness_key
from gateway.audit.errors import TrustError

TEXT = "test/one/audit\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\ntime 5\n"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
KEY = WitnessKey("witness.example.com/w1", PRIVATE.public_key().public_bytes_raw())


def vkey(name: str, kind: bytes, key: bytes) -> str:
    id_ = sha256(name.encode() + b"\n" + kind + key).digest()[:4]
    return f"{name}+{id_.hex()}+{b64encode(kind + key).decode()}"


def cosign(text: str = TEXT, seconds: int = 1_679_315_147, signed: int | None = None) -> str:
    """As the specification says: key id, time as 8 bytes, signature over header, time and text."""
    signature = PRIVATE.sign(f"cosignature/v1\ntime {signed or seconds}\n{text}".encode())
    return f"— {KEY.name} {b64encode(KEY.key_id + seconds.to_bytes(8, 'big') + signature).decode()}"


def test_cosignature_gives_the_time_at_which_the_witness_saw_the_head() -> None:
    assert KEY.seen_at(cosign(), TEXT) == 1_679_315_147


def test_other_texts_times_names_and_spellings_are_not_the_witness() -> None:
    line = cosign()
    for bad in (
        cosign(TEXT.replace("3", "4")),
        cosign(signed=5),
        line.replace("w1", "w2"),
        line[:-4],
        line + " ",
        line.replace("— ", "- "),
        f"— {KEY.name} !!!!",
        "",
    ):
        assert KEY.seen_at(bad, TEXT) is None


def test_key_of_a_log_is_not_the_key_of_a_witness() -> None:
    assert parse_witness_key(vkey(KEY.name, b"\x04", KEY.key) + "\n") == KEY
    for bad in (vkey(KEY.name, b"\x01", KEY.key), vkey("other", b"\x04", KEY.key).replace("other", "w"), "w", ""):
        with pytest.raises(TrustError):
            parse_witness_key(bad)
