"""What is in a credentials file, and nothing else is taken for it."""

from __future__ import annotations

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.sinks.stream_login import StreamLogin, parse_login
from tests.gateway.audit.sinks.nats_users import ACCOUNT, USER, Operator, seed_of

CREDENTIALS = Operator().credentials(b"u" * 32)
SEED = seed_of(USER, b"u" * 32)


def test_a_file_holds_credentials_or_a_name_and_a_password() -> None:
    mine = parse_login(CREDENTIALS)
    assert (mine.seed, mine.jwt.count(".")) == (b"u" * 32, 2)
    assert parse_login("gate\nsecret\n") == StreamLogin(user="gate", password="secret")
    assert "secret" not in repr(parse_login("gate secret"))
    assert mine.jwt not in repr(mine)


def test_the_seed_signs_what_the_server_asks() -> None:
    public = Ed25519PrivateKey.from_private_bytes(b"u" * 32).public_key()
    public.verify(b64decode(parse_login(CREDENTIALS).sign("nonce")), b"nonce")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one",
        "a b c",
        SEED,
        CREDENTIALS.replace(SEED, SEED[:20] + ("A" if SEED[20] != "A" else "B") + SEED[21:]),
        CREDENTIALS.replace(SEED, seed_of(ACCOUNT, b"u" * 32)),
        CREDENTIALS.replace("BEGIN NATS", "BEGIN"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|checksum"):
        parse_login(text)
