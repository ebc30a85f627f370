"""Sealed text is for who has the role, with a reason; whoever looked is in the log, whatever they found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.admin.client import AdminError
from gateway.audit.record import canonical
from gateway.entries import keyed_digest, tenant_key
from tests.gateway.content.opened import CANARY
from tests.gateway.live_admin import ODA, PAUL, VERA
from tests.gateway.live_content import LiveContent

WHY = {"reason": "complaint of 3 May", "case": "C-117"}


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveContent]:
    with LiveContent(tmp_path) as live:
        yield live


@pytest.mark.parametrize("key", [VERA, PAUL])
def test_text_is_read_after_its_record(live: LiveContent, key: str) -> None:
    said = live.post("read", {"what": "r1", **WHY}, key)
    assert [blob["level"] for blob in said["blobs"]] == ["request", "response"]
    assert CANARY in json.dumps(said)
    [record] = live.records
    assert (record["type"], record["refs"], record["refs_n"]) == ("content.read", ["r1-request", "r1-response"], 2)
    assert (record["reason"], record["case"], record["what"]) == (WHY["reason"], WHY["case"], "r1")
    assert record["actor"]["sub"] in ("vera", "paul")
    assert CANARY not in json.dumps(live.records)


def test_one_reference_is_one_blob(live: LiveContent) -> None:
    [blob] = live.post("read", {"what": "r3-response", **WHY})["blobs"]
    assert (blob["req"], blob["ref"]) == ("r3", "r3-response")


def test_without_the_record_there_is_no_text(live: LiveContent) -> None:
    live.admin.log.fail_from = 0
    with pytest.raises(AdminError) as error:
        live.post("read", {"what": "r1", **WHY})
    assert error.value.code == "audit_unavailable"
    assert CANARY not in str(error.value)


def test_the_wrong_role_reads_nothing(live: LiveContent) -> None:
    for path, key in (("read", ODA), ("list", ODA), ("person", VERA), ("export", VERA), ("export", ODA)):
        with pytest.raises(AdminError) as error:
            live.post(path, {"what": "r1", "subject": "x", **WHY}, key)
        assert error.value.code == "role_missing"
    assert {record["type"] for record in live.records} == {"auth.fail"}
    assert len(live.records) == 5


@pytest.mark.parametrize("missing", ["reason", "case", "what"])
def test_a_reason_and_a_case_are_asked_for(live: LiveContent, missing: str) -> None:
    asked = {"what": "r1", **WHY}
    del asked[missing]
    with pytest.raises(AdminError) as error:
        live.post("read", asked)
    assert error.value.code == "invalid_value"


def test_looking_for_what_is_not_there_is_a_record_too(live: LiveContent) -> None:
    with pytest.raises(AdminError) as error:
        live.post("read", {"what": "r99", **WHY})
    assert error.value.code == "content_not_found"
    [record] = live.records
    assert (record["type"], record["err"]["code"]) == ("content.read", "content_not_found")


def test_a_blob_that_was_altered_is_named_and_the_others_are_read(live: LiveContent, tmp_path: Path) -> None:
    [file] = (tmp_path / "state" / "content" / "default").iterdir()
    data = file.read_bytes()
    file.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    said = live.post("read", {"what": "r4", **WHY})
    assert [blob.get("err") for blob in said["blobs"]] == [None, "content_altered"]


def test_a_list_has_no_text(live: LiveContent) -> None:
    said = live.post("list", {"what": "r1"}, VERA)
    assert [blob["ref"] for blob in said["blobs"]] == ["r1-request", "r1-response"]
    assert "value" not in said["blobs"][0]
    [record] = live.records
    assert (record["type"], record["query"], record["found"]) == ("audit.read", {"content": "r1"}, 2)


def test_a_person_is_found_by_name_and_the_name_is_in_no_record(live: LiveContent) -> None:
    assert live.post("person", {"tenant": "tenant-a", "name": "alice"})["subject"] == live.tokens["alice"]
    for tenant, name in (("tenant-b", "alice"), ("tenant-a", "carol-4711")):
        with pytest.raises(AdminError) as error:
            live.post("person", {"tenant": tenant, "name": name})
        assert error.value.code == "content_not_found"
    assert {record["type"] for record in live.records} == {"audit.query"}
    assert "alice" not in json.dumps(live.records)
    assert "carol-4711" not in json.dumps(live.records)


def test_an_export_has_the_persons_records_and_text_and_nobody_elses(live: LiveContent) -> None:
    token = live.tokens["alice"]
    records: list[dict[str, Any]] = [
        {"req": req, "seq": seq, "on_behalf": {"sub": live.tokens.get(name, "")}}
        for seq, (req, name) in enumerate([("r1", "alice"), ("r3", "bob"), ("r4", "")])
    ]
    lines = b"".join(canonical(record) + b"\n" for record in records)
    (live.log / "seg" / f"{0:016}.jsonl").write_bytes(lines)
    url, headers = f"{live.admin.url}/admin/content/export", {"authorization": f"Bearer {PAUL}"}
    answer = httpx.post(url, json={"subject": token, **WHY}, headers=headers, trust_env=False)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["record"]["req"] for row in rows if "record" in row] == ["r1"]
    assert [row["content"]["ref"] for row in rows if "content" in row] == [
        f"{req}-{level}" for req in ("r1", "r2") for level in ("request", "response")
    ]
    assert all(CANARY in json.dumps(row["content"]["value"]) for row in rows if "content" in row)
    [record] = live.records
    assert (record["type"], record["subject"], record["refs_n"]) == ("content.export", token, 4)


def test_an_export_of_nobody_is_told_and_recorded(live: LiveContent) -> None:
    with pytest.raises(AdminError) as error:
        live.post("export", {"subject": "sub_nobody", **WHY})
    assert error.value.code == "content_not_found"
    assert live.records[0]["err"]["code"] == "content_not_found"


def test_exchanges_are_found_by_text_that_was_released_and_the_text_is_in_no_record(live: LiveContent) -> None:
    digest = keyed_digest(tenant_key(b"k" * 32, "tenant-a"), CANARY.encode())
    rows: list[dict[str, Any]] = [
        {"req": "r1", "digest": {"out_hmac": digest}}, {"req": "r2", "digest": {"out_hmac": "0" * 32}},
        {"req": "r3", "note": digest}, {"req": "r4", "digest": {"in_canon_hmac": digest}},
    ]  # fmt: skip
    (live.log / "seg" / f"{0:016}.jsonl").write_bytes(b"".join(canonical(row) + b"\n" for row in rows))
    said = live.post("find", {"tenant": "tenant-a", "text": CANARY}, VERA)
    assert said == {"digest": digest, "requests": ["r1", "r4"]}
    assert live.post("find", {"tenant": "tenant-b", "text": CANARY})["requests"] == []
    assert [record["type"] for record in live.records] == ["audit.query"] * 2
    assert CANARY not in json.dumps(live.records)
