"""A seal says what a closed segment holds, under the key of its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.epochs import EpochChain, load_chain
from gateway.audit.errors import NoteError
from gateway.audit.seal import Seal, open_seal, seal_path
from tests.gateway.audit.harness import ORIGIN
from tests.gateway.audit.test_epochs import BEGIN, LOG_KEY, epoch_of, epoch_signer, put

SEAL = Seal(ORIGIN, 5, 9, b"r" * 32, 1234, b"d" * 32, BEGIN + 7)


@pytest.fixture
def chain(tmp_path: Path) -> EpochChain:
    return load_chain(put(tmp_path, epoch_of(0)), LOG_KEY.verifier)


def test_what_was_sealed_is_read(chain: EpochChain) -> None:
    assert open_seal(epoch_signer(0).sign(SEAL.text()), chain) == (SEAL, epoch_of(0))
    assert seal_path(Path("seg/0000000000000005.jsonl")) == Path("seg/0000000000000005.seal")


@pytest.mark.parametrize(
    "text",
    [
        replace(SEAL, last=4).text(),
        replace(SEAL, origin="other/log").text(),
        replace(SEAL, time_ns=BEGIN - 2 * 10**9).text(),
        replace(SEAL, root=b"short").text(),
        SEAL.text() + "more\n",
        SEAL.text().replace("seal/v1", "seal/v2"),
        SEAL.text().replace("first 5", "first 05"),
    ],
)
def test_seal_that_says_anything_else_is_refused_though_it_is_signed(chain: EpochChain, text: str) -> None:
    with pytest.raises(NoteError):
        open_seal(epoch_signer(0).sign(text), chain)


def test_seal_by_another_key_or_with_a_changed_byte_is_refused(chain: EpochChain) -> None:
    for note in (LOG_KEY.sign(SEAL.text()), epoch_signer(0).sign(SEAL.text()).replace(b"last 9", b"last 8")):
        with pytest.raises(NoteError):
            open_seal(note, chain)
