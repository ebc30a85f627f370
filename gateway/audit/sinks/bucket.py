"""One bucket of an S3-compatible store, as little of it as a log needs: put once, list, get.

The client gets its keys from the settings and nothing from the environment. Every body is sent with its SHA-256, which
the store compares before it answers; where a retention is configured it goes with each object, so that neither this
process nor whoever takes its keys can remove what was put. Transport errors and refusals become SinkError; their texts
stay outside, as a store's answer may quote anything.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from minio.retention import Retention

from gateway.audit.sinks.errors import SinkError
from gateway.audit.sinks.settings import ObjectPlace
from gateway.audit.sinks.stored import Stored
from gateway.audit.writer import b64

CONNECT_S, ANSWER_S = 5.0, 10.0
_CHECKSUM = "x-amz-checksum-sha256"


class Bucket:
    """Everything below `<prefix>/<origin>/`."""

    described = "the bucket"

    def __init__(self, place: ObjectPlace, origin: str) -> None:
        url = urlsplit(place.endpoint)
        pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_S, read=ANSWER_S),
            retries=urllib3.Retry(0),
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(place.ca) if place.ca is not None else None,
        )
        self._client = Minio(
            url.netloc,
            access_key=place.access_key,
            secret_key=place.secret_key,
            secure=url.scheme == "https",
            region=place.region,
            http_client=pool,
        )
        self._place = place
        self._base = "/".join(part for part in (place.prefix.strip("/"), origin) if part) + "/"

    def put(self, name: str, data: bytes) -> None:
        """Returns when the store has it and has compared its digest. Raises SinkError."""
        digest = b64(sha256(data).digest())
        try:
            done = self._client.put_object(
                self._place.bucket,
                self._base + name,
                io.BytesIO(data),
                len(data),
                metadata={_CHECKSUM: digest},
                retention=self._retention(),
            )
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise _told(exc) from exc
        answered = dict(done.http_headers or {})
        if answered.get(_CHECKSUM, digest) != digest:
            raise SinkError("sink_failed", f"the store holds another SHA-256 of `{name}` than was sent")

    def _retention(self) -> Retention | None:
        if not self._place.retention_mode:
            return None
        until = datetime.now(UTC) + timedelta(days=self._place.retention_days)
        return Retention(self._place.retention_mode, until)

    def list(self, inside: str = "", after: str = "", versions: bool = False) -> Iterator[Stored]:
        """Objects whose names begin with `inside` and come after `after`, in order of their names."""
        start = self._base + after if after else None
        try:
            for found in self._client.list_objects(
                self._place.bucket,
                self._base + inside,
                recursive=True,
                start_after=start,
                include_version=versions,
            ):
                name = (found.object_name or "").removeprefix(self._base)
                yield Stored(
                    name,
                    found.size or 0,
                    found.version_id,
                    found.etag or "",
                    found.last_modified,
                    found.is_delete_marker,
                )
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise _told(exc) from exc

    def get(self, name: str, version: str | None = None) -> bytes:
        try:
            response = self._client.get_object(self._place.bucket, self._base + name, version_id=version)
            try:
                return bytes(response.read())
            finally:
                response.close()
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise _told(exc) from exc


def _told(exc: Exception) -> SinkError:
    if isinstance(exc, S3Error):
        return SinkError("sink_failed", f"the store refused: {exc.code}")
    return SinkError("sink_unreachable", f"the store gave no answer: {type(exc).__name__}")
