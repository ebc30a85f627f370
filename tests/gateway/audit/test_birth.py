"""`LOG` names the log, its key and its format, and is believed only under the key that the caller trusts."""

from __future__ import annotations

import pytest

from gateway.audit.birth import Adopts, Birth, named_origin, open_birth
from gateway.audit.errors import NoteError
from tests.gateway.audit.harness import ORIGIN, signer_in

SIGNER = signer_in(1)


@pytest.mark.parametrize(
    "birth",
    [
        Birth(1, SIGNER.verifier, 5),
        Birth(2, SIGNER.verifier, 5),
        Birth(2, SIGNER.verifier, 5, Adopts("old/log", 17, b"r" * 32)),
    ],
)
def test_what_was_written_is_read(birth: Birth) -> None:
    assert open_birth(SIGNER.sign(birth.text()), SIGNER.verifier) == birth


def test_a_log_of_version_1_adopts_nothing() -> None:
    text = Birth(1, SIGNER.verifier, 5, Adopts("old/log", 17, b"r" * 32)).text()
    with pytest.raises(NoteError, match="not of a format"):
        open_birth(SIGNER.sign(text), SIGNER.verifier)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("log/v2", "log/v3"),
        ("sha256", "sha1"),
        (ORIGIN + "\n", "other/log\n"),
        ("created 5", "created five"),
        ("created 5", "created 05"),
        ("adopts old/log 17 ", "adopts old/log x17 "),
        ("adopts old/log 17 ", "adopts old/log "),
        ("adopts", "adopted"),
    ],
)
def test_a_note_that_says_anything_else_is_refused_though_it_is_signed(old: str, new: str) -> None:
    text = Birth(2, SIGNER.verifier, 5, Adopts("old/log", 17, b"r" * 32)).text()
    assert old in text
    with pytest.raises(NoteError):
        open_birth(SIGNER.sign(text.replace(old, new, 1)), SIGNER.verifier)


def test_another_key_of_the_same_name_is_not_enough() -> None:
    other = signer_in(2)
    with pytest.raises(NoteError):
        open_birth(other.sign(Birth(2, SIGNER.verifier, 5).text()), SIGNER.verifier)
    with pytest.raises(NoteError, match="another log or key"):
        open_birth(SIGNER.sign(Birth(2, other.verifier, 5).text()), SIGNER.verifier)


def test_the_name_is_told_without_a_key_for_messages() -> None:
    assert named_origin(SIGNER.sign(Birth(2, SIGNER.verifier, 5).text())) == ORIGIN
    assert named_origin(b"\xff\0") == "(unreadable)"
