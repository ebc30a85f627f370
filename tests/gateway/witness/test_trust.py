"""Whose signature makes a head one of the log's."""

from __future__ import annotations

import pytest

from gateway.audit.epochs import Epoch
from gateway.audit.note import Checkpoint
from gateway.witness.errors import Refused
from gateway.witness.seen import Seen
from gateway.witness.trust import Head, opened, origin_of
from tests.gateway.audit.harness import ORIGIN, signer_in

LOG, STRANGER = signer_in(seed=1), signer_in(seed=9)
KEYS = [signer_in(seed=20 + number) for number in range(4)]
HOUR = 3600 * 10**9
NOW = 1_800_000_000 * 10**9


def certificate(number: int, before: int | None = None, by: int | None = None) -> bytes:
    """Of epoch `number`, one hour each from NOW on; signed by the log key and, if given, by an epoch key."""
    epoch = Epoch(number, NOW + number * HOUR, NOW + (number + 1) * HOUR, KEYS[number if by is None else by].verifier)
    note = LOG.sign(epoch.text())
    return KEYS[before].cosign(note) if before is not None else note


def head_by(number: int, hours: float, key: int | None = None, size: int = 7) -> bytes:
    checkpoint = Checkpoint(ORIGIN, size, bytes(32), NOW + int(hours * HOUR))
    return KEYS[number if key is None else key].sign(checkpoint.text())


def seen_of(head: Head) -> Seen:
    return Seen(head.origin, head.size, head.root, head.time_ns, head.epoch, head.epoch_key, b"")


def test_a_head_by_the_log_key() -> None:
    note = LOG.sign(f"{ORIGIN}\n0\n{'A' * 43}=\nany extension\n")
    head = opened(note, b"", LOG.verifier, None)
    assert (head.origin, head.size, head.root, head.epoch) == (ORIGIN, 0, bytes(32), -1)
    assert origin_of(note) == ORIGIN


@pytest.mark.parametrize(
    "text",
    [f"{ORIGIN}\n", f"{ORIGIN}\n01\n{'A' * 43}=\n", f"{ORIGIN}\n1\nAAAA\n", f"{ORIGIN}\n1\n\n{'A' * 43}=\n", "x\n1\n"],
)
def test_a_signed_note_that_is_no_head(text: str) -> None:
    with pytest.raises(Refused) as refused:
        opened(LOG.sign(text), b"", LOG.verifier, None)
    assert refused.value.status == 400


def test_heads_of_successive_epochs() -> None:
    first = opened(head_by(0, 0.5), certificate(0), LOG.verifier, None)
    second = opened(head_by(1, 1.5), certificate(1, before=0), LOG.verifier, seen_of(first))
    later = opened(head_by(3, 3.5), certificate(3, before=2), LOG.verifier, seen_of(second))
    assert (first.epoch, second.epoch, later.epoch) == (0, 1, 3)


@pytest.mark.parametrize(
    ("note", "with_certificate", "told"),
    [
        (head_by(1, 1.5), b"", "no signature by the log key"),
        (head_by(1, 1.5, key=3), certificate(1, before=0), "no signature by"),
        (STRANGER.sign(head_by(1, 1.5).decode().split("\n\n")[0] + "\n"), certificate(1, before=0), "no signature"),
        (head_by(1, 1.5), STRANGER.sign(certificate(1).decode().split("\n\n")[0] + "\n"), "no signature by"),
        (head_by(1, 1.5), certificate(1), "no signature by"),
        (head_by(1, 1.5), certificate(1, before=3), "no signature by"),
        (head_by(1, 5.5), certificate(1, before=0), "outside epoch 1"),
        (head_by(0, 0.2), certificate(0), "before that of the head seen last"),
        (head_by(0, 0.6, key=2), certificate(0, by=2), "seen with another key"),
        (LOG.sign(f"{ORIGIN}\n9\n{'A' * 43}=\n"), b"", "signed by epoch keys"),
        (head_by(1, 1.5), b"not a note", "incomplete"),
    ],
)
def test_whatever_is_not_the_next_key_of_the_log_is_unknown(note: bytes, with_certificate: bytes, told: str) -> None:
    """A stolen log key makes a certificate, a stolen old key a head; neither continues the log here."""
    seen = seen_of(opened(head_by(0, 0.5), certificate(0), LOG.verifier, None))
    with pytest.raises(Refused, match=told) as refused:
        opened(note, with_certificate, LOG.verifier, seen)
    assert refused.value.status == 403


def test_an_epoch_that_is_over_does_not_come_back() -> None:
    seen = seen_of(opened(head_by(2, 2.5), certificate(2, before=1), LOG.verifier, None))
    with pytest.raises(Refused, match="epoch 1 is over"):
        opened(head_by(1, 1.9), certificate(1, before=0), LOG.verifier, seen)
