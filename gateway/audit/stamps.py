"""Time stamp tokens (RFC 3161) over signed heads, checked with the certificates of an auditor.

A token that verifies proves that this head existed at a time which is not the machine's. It proves nothing about other
heads: whoever forks a log can have both stamped. Signature, chain up to a given root, purpose of the certificate and
digest are the library's to check; certificates have to be valid at the token's own time, not today. The package is an
extra: without it this module cannot be used, and whoever asks for it is told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import rfc3161_client as rfc3161
from cryptography import x509

from gateway.audit.errors import NoteError, TrustError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Stamp(NamedTuple):
    """What a token says."""

    time_ns: int
    by: str
    """Subject of the authority's certificate."""


class Authorities:
    """Time stamp authorities that the caller trusts."""

    def __init__(self, files: Iterable[Path]) -> None:
        """PEM files of roots, and of certificates below them. Raises TrustError or OSError."""
        found = [certificate for path in files for certificate in _read(path)]
        self._roots = [one for one in found if one.issuer == one.subject]
        self._others = [one for one in found if one.issuer != one.subject]
        if not self._roots:
            raise TrustError("no root among the certificates for time stamps: one that is its own issuer is needed")

    def open(self, token: bytes, message: bytes) -> Stamp:
        """Raises NoteError unless the answer holds a token over these bytes by one of the authorities."""
        builder = rfc3161.VerifierBuilder(roots=list(self._roots), intermediates=list(self._others))
        try:
            answer = rfc3161.decode_timestamp_response(token)
            builder.build().verify_message(answer, message)
            return Stamp(_ns(answer.tst_info.gen_time), self._name(answer))
        except (rfc3161.VerificationError, ValueError) as exc:
            raise NoteError(f"a token that does not verify: {str(exc)[:200]}") from exc

    def _name(self, answer: rfc3161.TimeStampResponse) -> str:
        """Of the one whose signature it was."""
        (signer,) = answer.signed_data.signer_infos
        embedded = [x509.load_der_x509_certificate(data) for data in answer.signed_data.certificates]
        return _subject((signer.issuer, signer.serial_number), [*embedded, *self._others, *self._roots])


def _subject(wanted: tuple[x509.Name, int], certificates: Sequence[x509.Certificate]) -> str:
    for one in certificates:
        if (one.issuer, one.serial_number) == wanted:
            return one.subject.rfc4514_string()
    raise ValueError("the certificate of the signer is not there")


def _read(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as exc:
        raise TrustError(f"`{path}` holds no certificates in PEM") from exc


def _ns(time: datetime) -> int:
    """Exactly, for a time in UTC whether it says so or not."""
    return (time.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
