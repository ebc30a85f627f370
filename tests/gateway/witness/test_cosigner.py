"""The witness's key: made once, kept, and of its own kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.cosignature import parse_witness_key
from gateway.audit.errors import TrustError
from gateway.audit.note import parse_vkey
from gateway.witness.cosigner import open_cosigner
from gateway.witness.errors import WitnessError


def test_a_key_is_made_once_and_its_public_half_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "witness.pem"
    made = open_cosigner(path, "bank/w2")
    assert open_cosigner(path, "bank/w2").vkey == made.vkey
    assert path.stat().st_mode & 0o777 == 0o600
    public = (tmp_path / "keys" / "witness.vkey").read_text()
    assert parse_witness_key(public) == made.key
    assert made.key.seen_at(made.line("head\n", 5).rstrip("\n"), "head\n") == 5


def test_its_key_does_not_pass_for_that_of_a_log(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="not of the Ed25519 kind"):
        parse_vkey(open_cosigner(tmp_path / "witness.pem", "bank/w2").vkey)


def test_another_name_for_the_same_key_is_refused(tmp_path: Path) -> None:
    open_cosigner(tmp_path / "witness.pem", "bank/w2")
    with pytest.raises(WitnessError, match="not the public half"):
        open_cosigner(tmp_path / "witness.pem", "bank/w3")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    open_cosigner(tmp_path / "witness.pem", "bank/w2")
    (tmp_path / "witness.pem").chmod(0o644)
    with pytest.raises(WitnessError, match="mode 0644"):
        open_cosigner(tmp_path / "witness.pem", "bank/w2")
