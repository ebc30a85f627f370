"""One request of an anchor to its server: bounded in time and size, without redirects, proxies or environment."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.audit.anchors.errors import AnchorError

_LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    media_type: str
    """Without parameters."""
    body: bytes


class AnchorClient:
    """Keeps its connection. Owned by one thread."""

    def __init__(self, timeout_s: float, ca: Path | None) -> None:
        self._timeout_s, self._ca = timeout_s, ca
        self._client: httpx.Client | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises AnchorError when there is no whole answer in time."""
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._open().stream("POST", url, content=body, headers=dict(headers)) as response:
                data = b""
                for piece in response.iter_raw():
                    data += piece
                    if len(data) > _LONGEST or time.monotonic() > deadline:
                        raise AnchorError("anchor_unreachable", f"`{url}`: the answer is too long or too slow")
                media_type = response.headers.get("content-type", "").partition(";")[0].strip()
                return Answer(response.status_code, media_type, data)
        except (httpx.HTTPError, OSError, ssl.SSLError) as exc:
            raise AnchorError("anchor_unreachable", f"`{url}`: {type(exc).__name__}") from exc

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _open(self) -> httpx.Client:
        """The client; made on the anchor's own thread, as reading the certificates of TLS takes a while."""
        if self._client is None:
            verify = ssl.create_default_context(cafile=self._ca)
            self._client = httpx.Client(
                verify=verify,
                timeout=self._timeout_s,
                trust_env=False,
                follow_redirects=False,
                headers={"accept-encoding": "identity"},
            )
        return self._client
