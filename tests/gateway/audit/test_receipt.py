"""A receipt binds the log to one record; whatever is changed in it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.epochs import EpochChain, endless_chain, load_chain
from gateway.audit.errors import NoteError
from gateway.audit.receipt import check_receipt, parse_receipt, sign
from tests.gateway.audit.harness import ORIGIN
from tests.gateway.audit.test_epochs import LOG_KEY, epoch_of, epoch_signer, put

LEAF = bytes(range(32))


@pytest.fixture
def chain(tmp_path: Path) -> EpochChain:
    return load_chain(put(tmp_path, epoch_of(0), epoch_of(1)), LOG_KEY.verifier)


def header() -> str:
    return sign(epoch_signer(1), epoch_of(1), 17, LEAF)


def test_receipt_names_the_record_and_is_signed_by_the_epoch_key(chain: EpochChain) -> None:
    assert header().startswith(f"{ORIGIN}; i=17; h=AAECAwQF")
    assert "; k=1; s=" in header()
    receipt = parse_receipt(header())
    assert (receipt.origin, receipt.seq, receipt.leaf) == (ORIGIN, 17, LEAF)
    assert check_receipt(receipt, chain) == epoch_of(1)


@pytest.mark.parametrize(
    "line", ["Gatehouse-Receipt: {}", "gatehouse-receipt: {}\r\n", ": gatehouse-receipt {}", " {} "]
)
def test_receipt_is_read_as_it_was_kept(line: str) -> None:
    assert parse_receipt(line.format(header())).seq == 17


def test_receipt_of_version_1_is_signed_by_the_log_key() -> None:
    chain = endless_chain(LOG_KEY.verifier)
    receipt = sign(LOG_KEY, chain.epochs[0], 3, LEAF)
    assert "; k=-; " in receipt
    assert check_receipt(parse_receipt(receipt), chain).number == -1


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("i=17", "i=18", "signature does not match"),
        ("h=AAEC", "h=BAEC", "signature does not match"),
        ("k=1", "k=0", "signature does not match"),
        ("k=1", "k=2", "no epoch 2"),
        ("k=1", "k=-", "no epoch -1"),
        (ORIGIN, "other/log", "of the log `other/log`"),
    ],
)
def test_changed_receipt_does_not_hold(chain: EpochChain, old: str, new: str, problem: str) -> None:
    with pytest.raises(NoteError, match=problem):
        check_receipt(parse_receipt(header().replace(old, new, 1)), chain)


@pytest.mark.parametrize(
    "text", ["", "nothing", header().replace("; k", ", k"), header()[:-1], header().replace("i=1", "i=01")]
)
def test_other_text_is_no_receipt(text: str) -> None:
    with pytest.raises(NoteError, match="not of the form"):
        parse_receipt(text)


def test_second_spelling_of_the_same_hash_is_refused() -> None:
    with pytest.raises(NoteError, match="canonical"):
        parse_receipt(header().replace("8=; k", "9=; k"))
