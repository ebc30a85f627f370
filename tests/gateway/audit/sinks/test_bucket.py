"""The few calls to a store, over HTTP: what is checked on the way, and what errors say."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.sinks.bucket import Bucket
from gateway.audit.sinks.errors import SinkError
from gateway.audit.sinks.settings import ObjectPlace
from tests.gateway.audit.sinks.s3_server import ACCESS, BUCKET, REGION, SECRET, Store, s3_server
from tests.gateway.audit.sinks.tls import Authority


@pytest.fixture
def s3() -> Iterator[tuple[Store, Bucket]]:
    with s3_server() as (store, endpoint):
        yield store, Bucket(ObjectPlace(endpoint, BUCKET, ACCESS, SECRET, prefix="/a/", region=REGION), "site/one")


def test_object_comes_back_as_it_was_put_and_lists_turn_pages(s3: tuple[Store, Bucket]) -> None:
    store, bucket = s3
    for number in range(11):
        bucket.put(f"seg/{number:02d}", b"%d" % number)
    assert store.names()[0] == "a/site/one/seg/00"
    assert [found.name for found in bucket.list("seg/")] == [f"seg/{number:02d}" for number in range(11)]
    assert [found.name for found in bucket.list("seg/", after="seg/07")] == ["seg/08", "seg/09", "seg/10"]
    assert bucket.get("seg/03") == b"3"


def test_environment_is_not_asked_for_keys(s3: tuple[Store, Bucket], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
        monkeypatch.setenv(name, "of-somebody-else")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    s3[1].put("LOG", b"x")
    assert s3[0].bad_signatures == 0


def test_every_version_is_listed_with_what_was_removed(s3: tuple[Store, Bucket]) -> None:
    store, bucket = s3
    bucket.put("LOG", b"first")
    bucket.put("LOG", b"second")
    store.put("a/site/one/LOG", None)
    versions = sorted(bucket.list(versions=True), key=lambda found: found.removed)
    assert [(found.name, found.removed) for found in versions] == [("LOG", False), ("LOG", False), ("LOG", True)]
    assert {bucket.get("LOG", found.version) for found in versions[:2]} == {b"first", b"second"}


def test_errors_name_the_code_and_never_what_the_store_says(s3: tuple[Store, Bucket]) -> None:
    store, bucket = s3
    store.refuse = "SlowDown"
    with pytest.raises(SinkError, match="the store refused: SlowDown") as caught:
        bucket.put("LOG", b"x")
    assert caught.value.code == "sink_failed"
    with pytest.raises(SinkError, match="NoSuchKey"):
        bucket.get("gone")
    nobody = Bucket(ObjectPlace("http://127.0.0.1:9", BUCKET, ACCESS, SECRET, region=REGION), "o")
    with pytest.raises(SinkError, match="no answer") as caught:
        nobody.put("LOG", b"x")
    assert caught.value.code == "sink_unreachable"


def test_store_is_trusted_by_the_authority_of_the_settings_and_no_other(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "tls"), Authority(tmp_path / "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("store"))
    with s3_server(context) as (store, endpoint):
        trusting, other = (
            Bucket(ObjectPlace(endpoint, BUCKET, ACCESS, SECRET, region=REGION, ca=known.ca), "o")
            for known in (authority, stranger)
        )
        trusting.put("LOG", b"x")
        assert trusting.get("LOG") == b"x"
        with pytest.raises(SinkError, match="no answer"):
            other.put("LOG", b"y")
        assert store.names() == ["o/LOG"]
        assert len(store.objects["o/LOG"]) == 1
