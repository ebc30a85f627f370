"""`Gatehouse-Receipt`: what a client keeps to hold the log to its word about one answer.

It names the record that ended the exchange by its number and leaf hash, signed by the epoch key of the time. A log that
has another record under that number, or none, is contradicted by it for as long as anyone keeps the line. It says
nothing of the answer's text. In a log of version 1 the log key signs, and the epoch is `-`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from gateway.audit.epochs import ENDLESS, Epoch, EpochChain
from gateway.audit.errors import NoteError
from gateway.audit.note import Signer, is_origin, strict_b64

HEADER = "Gatehouse-Receipt"
FORMAT = "gatehouse-receipt/v1"
_NUMBER = "(?:0|[1-9][0-9]{0,15})"
_FORM = re.compile(rf"([^;\s]+); i=({_NUMBER}); h=([A-Za-z0-9+/]{{43}}=); k=(-|{_NUMBER}); s=([A-Za-z0-9+/]{{86}}==)")


def signed_text(origin: str, seq: int, leaf: bytes) -> bytes:
    """The bytes that the epoch key signs."""
    return f"{FORMAT}\n{origin}\n{seq}\n{b64encode(leaf).decode()}\n".encode()


def sign(signer: Signer, epoch: Epoch, seq: int, leaf: bytes) -> str:
    """The header's value. Any thread; 40 us."""
    signature = b64encode(signer.sign_bytes(signed_text(signer.verifier.name, seq, leaf))).decode()
    return f"{signer.verifier.name}; i={seq}; h={b64encode(leaf).decode()}; k={epoch.label}; s={signature}"


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt as a client kept it. Not verified."""

    origin: str
    seq: int
    leaf: bytes
    epoch: int
    signature: bytes


def parse_receipt(text: str) -> SignedReceipt:
    """Read the header's value, with or without the header's name or a stream comment's colon. NoteError if not."""
    value = re.sub(r"^(:\s*)?gatehouse-receipt:?\s+", "", text.strip(), flags=re.IGNORECASE)
    match = _FORM.fullmatch(value)
    if match is None or not is_origin(match[1]):
        raise NoteError("receipt is not of the form `origin; i=…; h=…; k=…; s=…`")
    epoch = ENDLESS if match[4] == "-" else int(match[4])
    return SignedReceipt(match[1], int(match[2]), strict_b64(match[3], 32), epoch, strict_b64(match[5], 64))


def check_receipt(receipt: SignedReceipt, chain: EpochChain) -> Epoch:
    """The epoch whose key signed it. NoteError if none did: another log, an unknown epoch, or a forgery."""
    if receipt.origin != chain.log_key.name:
        raise NoteError(f"receipt is of the log `{receipt.origin}`, expected `{chain.log_key.name}`")
    epoch = chain.epoch(receipt.epoch)
    if epoch is None:
        raise NoteError(f"the log has no epoch {receipt.epoch}")
    if not epoch.key.check(signed_text(receipt.origin, receipt.seq, receipt.leaf), receipt.signature):
        raise NoteError("signature does not match the receipt")
    return epoch
