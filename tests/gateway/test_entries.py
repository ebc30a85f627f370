"""Every record says whose it is and by which policy, and holds digests in the place of what was said."""

from __future__ import annotations

import json
from dataclasses import replace

from gateway.audit.record import canonical
from gateway.entries import Exchange, digest_field, keyed_digest, refusal, request_fields
from gateway.exchange import Caller, ChatRequest
from guards.verdict import Part, Scope
from tests.gateway.live import policy

CALLER = Caller("k1", "tenant-a", "app-a")
EXCHANGE = Exchange("id-1", CALLER, "/v1/chat/completions", "engine", policy())


def test_every_record_says_whose_it_is_and_under_which_policy() -> None:
    record = EXCHANGE.record("request.admit", "admit")
    assert (record["req"], record["tenant"], record["app"]) == ("id-1", "tenant-a", "app-a")
    assert record["actor"] == {"type": "key", "key_id": "k1"}
    assert record["policy"] == {"name": "live", "version": "1.0.0", "compiled_digest": policy().digest,
                                "src_digest": policy().source_digest}  # fmt: skip


def test_pictures_are_named_by_size_and_digest_only() -> None:
    paths = [f"/messages/0/content/{at}/image_url/url" for at in range(32)]
    parts = tuple(Part(Scope.IMAGE, path, "user", "", picture="data:image/png;base64,QUJDRA==") for path in paths)
    request = ChatRequest("m", {}, parts, stream=False, include_usage=False, n=1, bytes_in=9)
    fields = request_fields(request, b"sent", b"read", b"k" * 32)
    rows = fields["images"]
    assert isinstance(rows, list)
    assert rows[0] == {"part": paths[0], "bytes": 4, "hmac": keyed_digest(b"k" * 32, parts[0].picture.encode())}
    assert fields["images_n"] == 32 > len(rows) > 10
    assert "QUJDRA" not in json.dumps(fields)
    assert "images" not in request_fields(replace(request, parts=()), b"", b"", b"k" * 32)


def test_a_keyed_digest_needs_its_key() -> None:
    assert keyed_digest(b"a" * 32, b"text") == keyed_digest(b"a" * 32, b"text")
    assert keyed_digest(b"a" * 32, b"text") != keyed_digest(b"b" * 32, b"text")
    assert len(keyed_digest(b"a" * 32, b"text")) == 32
    request = ChatRequest("m", {}, (), False, False, 1, 12)
    fields = request_fields(request, b"", b"canonical", b"k" * 32)
    of_request = {"in_canon_hmac": keyed_digest(b"k" * 32, b"canonical"), "up_req_hmac": ""}
    assert fields["digest"] == of_request | {"key_id": digest_field(b"k" * 32)["digest"]["key_id"]}
    assert fields["http"] == {"bytes_in": 12, "stream": False}


def test_a_refusal_before_any_guard_is_a_whole_record() -> None:
    known = refusal("id-1", CALLER, "/v1/chat/completions", "invalid_json", 400, 7)
    assert (known["type"], known["stage"], known["tenant"]) == ("request.refuse", "complete", "tenant-a")
    assert known["http"] == {"route": "/v1/chat/completions", "status": 400, "bytes_in": 7}
    stranger = refusal("id-1", None, "/v1/models", "missing_api_key", 401, 0)
    assert (stranger["type"], "tenant" in stranger, "actor" in stranger) == ("auth.fail", False, False)
    for record in (known, stranger):
        canonical(record)
