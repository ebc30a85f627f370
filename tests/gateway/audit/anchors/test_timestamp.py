"""Time stamps by OpenSSL as the server, checked before they count."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import rfc3161_client
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.audit.anchors.anchor import HeadNote
from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.settings import TimestampAt
from gateway.audit.anchors.timestamp import TimestampAnchor
from gateway.audit.note import Checkpoint
from tests.gateway.audit.anchors.tsa import authority, openssl
from tests.gateway.audit.harness import ORIGIN, signer_in
from tests.gateway.witness.live_witness import Served


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tsa")
    authority(path)
    return path


def app_of(site: Path, answer: str) -> Starlette:
    def stamped(query: bytes) -> bytes:
        (site / "query").write_bytes(query)
        openssl(site, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
        return (site / "reply").read_bytes()

    async def stamp(request: Request) -> Response:
        assert request.headers["content-type"] == "application/timestamp-query"
        query = await request.body()
        if answer == "old":
            return Response((site / "reply").read_bytes())
        data = b"nonsense" if answer == "nonsense" else await run_in_threadpool(stamped, query)
        return Response(data, 500 if answer == "refused" else 200)

    return Starlette(routes=[Route("/", stamp, methods=["POST"])])


def head(size: int) -> HeadNote:
    checkpoint = Checkpoint(ORIGIN, size, bytes(32), 5)
    return HeadNote(signer_in(seed=1).sign(checkpoint.text()), checkpoint, b"")


@pytest.fixture
def answers(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    with Served(app_of(site, request.param)) as server:
        yield server.url + "/"


@pytest.mark.parametrize("answers", ["good"], indirect=True)
def test_a_token_that_verifies_is_kept(site: Path, answers: str) -> None:
    with closing(TimestampAnchor(TimestampAt(answers, site / "root.pem"))) as anchor:
        proof = anchor.put(head(7))
    token = rfc3161_client.decode_timestamp_response(b64decode(str(proof["token"])))
    assert token.tst_info.gen_time.year >= 2026
    assert proof["note"] == head(7).note.decode()


@pytest.mark.parametrize(
    ("answers", "code"),
    [("nonsense", "anchor_unverified"), ("refused", "anchor_refused"), ("old", "anchor_unverified")],
    indirect=["answers"],
)
def test_anything_else_does_not_count(site: Path, answers: str, code: str) -> None:
    with closing(TimestampAnchor(TimestampAt(answers, site / "root.pem"))) as anchor, pytest.raises(AnchorError) as no:
        anchor.put(head(8))
    assert no.value.code == code


@pytest.mark.parametrize("answers", ["good"], indirect=True)
def test_a_token_under_another_root_does_not_count(site: Path, answers: str, tmp_path: Path) -> None:
    authority(tmp_path)
    other = TimestampAt(answers, tmp_path / "root.pem")
    with closing(TimestampAnchor(other)) as anchor, pytest.raises(AnchorError) as refused:
        anchor.put(head(9))
    assert refused.value.code == "anchor_unverified"
