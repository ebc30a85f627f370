"""A small S3 store on loopback: checks signatures and digests, keeps versions and retention, answers lists in pages.

Written from the service's documentation and not from the client under test, so that the two can disagree.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS, SECRET, BUCKET, REGION = "ACCESS-1", "secret-of-the-store", "audit", "eu-test-1"
PAGE = 4
"""Names in one answer, few enough that every test turns pages."""


@dataclass
class Version:
    """One version of an object; without data: a delete marker."""

    id: str
    data: bytes | None
    time: datetime
    mode: str = ""
    until: str = ""


@dataclass
class Store:
    """What the bucket holds, and how it misbehaves."""

    objects: dict[str, list[Version]] = field(default_factory=dict)
    """Oldest version first."""
    refuse: str = ""
    """Error code for every put."""
    hang_s: float = 0.0
    lose_answers: int = 0
    """So many puts are stored and then get no answer."""
    keeps_versions: bool = True
    is_tls: bool = False
    puts: int = 0
    bad_signatures: int = 0
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def put(self, name: str, data: bytes | None, mode: str = "", until: str = "") -> None:
        self.clock += timedelta(seconds=1)
        self.puts += 1
        versions = self.objects.setdefault(name, [])
        if not self.keeps_versions:
            versions.clear()
        versions.append(Version(f"v{self.puts}", data, self.clock, mode, until))

    def names(self) -> list[str]:
        return sorted(name for name, versions in self.objects.items() if versions[-1].data is not None)


class _Handler(BaseHTTPRequestHandler):
    store: Store
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        return

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").removeprefix("/")

    def _query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
        self._answer(status, body, Content_Type="application/xml")

    def _signed(self, body: bytes) -> bool:
        digest = self.headers["x-amz-content-sha256"]
        if digest != hashlib.sha256(body).hexdigest() and not (self.store.is_tls and digest == "UNSIGNED-PAYLOAD"):
            return False
        if hmac.compare_digest(_signature(self), self.headers["authorization"].rpartition("Signature=")[2]):
            return True
        self.store.bad_signatures += 1
        return False

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        time.sleep(self.store.hang_s)
        if not self._signed(body):
            return self._error(403, "SignatureDoesNotMatch")
        if self.store.refuse:
            return self._error(503, self.store.refuse)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if self.headers["x-amz-checksum-sha256"] != digest:
            return self._error(400, "BadDigest")
        mode = self.headers.get("x-amz-object-lock-mode", "")
        self.store.put(self._name(), body, mode, self.headers.get("x-amz-object-lock-retain-until-date", ""))
        if self.store.lose_answers:
            self.store.lose_answers -= 1
            self.close_connection = True
            return None
        return self._answer(200, ETag=_etag(body), x_amz_checksum_sha256=digest)

    def do_GET(self) -> None:
        time.sleep(self.store.hang_s)
        if not self._signed(b""):
            return self._error(403, "SignatureDoesNotMatch")
        if not self._name():
            return self._list()
        query = self._query()
        versions = self.store.objects.get(self._name(), [])
        wanted = [found for found in versions if query.get("versionId", versions[-1].id) == found.id]
        if not wanted or wanted[0].data is None:
            return self._error(404, "NoSuchKey")
        return self._answer(200, wanted[0].data, ETag=_etag(wanted[0].data))

    def _list(self) -> None:
        query = self._query()
        if "versions" in query:
            if not self.store.keeps_versions:
                return self._error(501, "NotImplemented")
            return self._list_versions(query)
        after = query.get("continuation-token") or query.get("start-after", "")
        names = [name for name in self.store.names() if name.startswith(query.get("prefix", "")) and name > after]
        page, more = names[:PAGE], len(names) > PAGE
        rows = "".join(
            f"<Contents><Key>{_key(name, query)}</Key>{_facts(self.store.objects[name][-1])}</Contents>"
            for name in page
        )
        following = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = f"<IsTruncated>{str(more).lower()}</IsTruncated>{following}{rows}"
        return self._answer(200, _xml("ListBucketResult", body, query), Content_Type="application/xml")

    def _list_versions(self, query: dict[str, str]) -> None:
        marker = query.get("key-marker", "")
        names = [
            name for name in sorted(self.store.objects) if name.startswith(query.get("prefix", "")) and name > marker
        ]
        page, more = names[:PAGE], len(names) > PAGE
        rows = ""
        for name in page:
            for version in reversed(self.store.objects[name]):
                kind = "Version" if version.data is not None else "DeleteMarker"
                rows += f"<{kind}><Key>{_key(name, query)}</Key><VersionId>{version.id}</VersionId>"
                rows += f"{_facts(version)}</{kind}>"
        following = f"<NextKeyMarker>{escape(page[-1])}</NextKeyMarker>" if more else ""
        body = f"<IsTruncated>{str(more).lower()}</IsTruncated>{following}{rows}"
        return self._answer(200, _xml("ListVersionsResult", body, query), Content_Type="application/xml")


def _facts(version: Version) -> str:
    data = version.data or b""
    stamp = version.time.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return f"<LastModified>{stamp}</LastModified><ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size>"


def _key(name: str, query: dict[str, str]) -> str:
    return quote(name) if query.get("encoding-type") == "url" else escape(name)


def _xml(kind: str, body: str, query: dict[str, str]) -> bytes:
    encoding = "<EncodingType>url</EncodingType>" if query.get("encoding-type") == "url" else ""
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<{kind} xmlns="{namespace}"><Name>{BUCKET}</Name>{encoding}{body}</{kind}>'.encode()


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _signature(request: _Handler) -> str:
    """What the signature of this request has to be (Signature Version 4)."""
    signed = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    url = urlsplit(request.path)
    pairs = sorted(tuple(part.partition("=")[::2]) for part in url.query.split("&") if part)
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed.split(";"))
    canonical = "\n".join(
        (
            request.command,
            url.path,
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            signed,
            request.headers["x-amz-content-sha256"],
        )
    )
    stamp = request.headers["x-amz-date"]
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@contextmanager
def s3_server(tls: ssl.SSLContext | None = None) -> Iterator[tuple[Store, str]]:
    """A running store and its endpoint."""
    store = Store(is_tls=tls is not None)
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store, f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
