"""Heads stamped by a time stamp server (RFC 3161). This file needs the extra `timestamps`.

The token says that the head existed at a time that is not this machine's. It does not say that there was no other
head, so that it dates a history and does not protect it from being forked. Only a token that verifies against the
configured roots counts.
"""

from __future__ import annotations

from base64 import b64encode

import rfc3161_client as rfc3161
from cryptography import x509

from gateway.audit.anchors.anchor import HeadNote
from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.http import AnchorClient
from gateway.audit.anchors.settings import TimestampAt
from gateway.audit.record import Json


class TimestampAnchor:
    """One time stamp server."""

    def __init__(self, settings: TimestampAt) -> None:
        self._settings = settings
        self._client = AnchorClient(settings.timeout_s, settings.ca)

    def put(self, head: HeadNote) -> dict[str, Json]:
        request = rfc3161.TimestampRequestBuilder(head.note, rfc3161.HashAlgorithm.SHA256).build()
        url = self._settings.url
        answer = self._client.post(url, request.as_bytes(), {"content-type": "application/timestamp-query"})
        if answer.status != 200:
            raise AnchorError("anchor_refused", f"`{url}` answered {answer.status}")
        self._verify(request, answer.body, head.note)
        return {"note": head.note.decode(), "token": b64encode(answer.body).decode()}

    def close(self) -> None:
        self._client.close()

    def _verify(self, request: rfc3161.TimeStampRequest, body: bytes, note: bytes) -> None:
        builder = rfc3161.VerifierBuilder.from_request(request)
        try:
            for root in x509.load_pem_x509_certificates(self._settings.roots.read_bytes()):
                builder = builder.add_root_certificate(root)
            builder.build().verify_message(rfc3161.decode_timestamp_response(body), note)
        except (rfc3161.VerificationError, ValueError, OSError) as exc:
            told = f"`{self._settings.url}` answered with a token that does not verify: {exc}"
            raise AnchorError("anchor_unverified", told) from exc
