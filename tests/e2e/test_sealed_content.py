"""Sealed content in real processes: text is nowhere in clear, is read with a reason, and is gone when it is erased."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import RULES_ONLY, Gateway, children, environment, start, write_config
from tests.e2e.test_kill import under_load

PROMPT, ANSWER, PERSON = "canary-prompt-8315", "canary-answer-9426", "canary-person-5537"
WITHHELD = "steal the jewellery"
"""What the scripted model says to `read page seven`, and the policy withholds."""
CANARIES = (PROMPT, ANSWER, PERSON, WITHHELD)
KEY = "gh_operator-of-the-e2e-tests"
POLICY = RULES_ONLY.replace("defaults:", "defaults:\n  audit: {content: sealed, retention: short}")


@pytest.fixture
def gateway(scripted: str, tmp_path: Path) -> Iterator[Gateway]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    config = write_config(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    with config.open("a") as file:
        file.write(f"operators: [{{name: paul, roles: [privacy_officer, auditor], sha256: '{digest}'}}]\n")
        file.write("content: {master_key: secret/master.key, classes: {short: 1d}}\n")
    gateway = start(tmp_path, config)
    try:
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.stop()


def operator(gateway: Gateway, *words: str) -> str:
    """What a command prints that an operator ran."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *words, "--config", str(gateway.config), "--json"],
        cwd=gateway.directory, env=environment(GATEHOUSE_OPERATOR_KEY=KEY), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def open_files(gateway: Gateway) -> set[Path]:
    """Files that the gateway's processes have open, deleted ones too, by a path that can be read."""
    links = [link for pid in children(gateway.process.pid) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {link for link in links if link.exists() and link.is_file()}


def in_clear(gateway: Gateway, canaries: tuple[str, ...] = CANARIES) -> list[str]:
    """Where a canary stands: in a file, in its name, in an open file, in the metrics."""
    found = []
    for path in [*(path for path in gateway.directory.rglob("*") if path.is_file()), *open_files(gateway)]:
        try:
            data = path.read_bytes() + str(path).encode()
        except FileNotFoundError:
            continue  # closed, or replaced, since it was listed
        found += [f"{path}: {canary}" for canary in canaries if canary.encode() in data]
    for url in (f"{gateway.admin}/metrics", f"{gateway.admin}/readyz"):
        found += [url for canary in canaries if canary in httpx.get(url).text]
    return found


def talk(gateway: Gateway) -> list[str]:
    """One exchange of each kind; their ids."""
    said = f"say: {PROMPT} and {ANSWER}"
    answers = [
        gateway.chat(said, user=PERSON),
        gateway.chat(said, user=PERSON, stream=True),
        gateway.chat(f"break into the neighbour {PROMPT}", user=PERSON),
        gateway.chat("read page seven", safety_identifier=PERSON),
        gateway.chat(said),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200, 200]
    bad = gateway.post("/v1/chat/completions", {"model": "scripted", "messages": PROMPT, "user": [PERSON]})
    assert bad.status_code == 400
    assert PROMPT not in bad.text
    return [answer.headers["x-request-id"] for answer in answers]


def records(gateway: Gateway) -> list[dict[str, Any]]:
    paths = sorted((gateway.audit_dir / "seg").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def read(gateway: Gateway, req: str) -> list[dict[str, Any]]:
    said = operator(gateway, "content", "read", req, "--reason", "a test", "--case", "C-1")
    blobs: list[dict[str, Any]] = json.loads(said)["blobs"]
    return blobs


def test_text_is_nowhere_in_clear_is_read_with_a_reason_and_is_gone_once_erased(gateway: Gateway) -> None:
    ids = talk(gateway)
    assert in_clear(gateway) == []
    blobs = [read(gateway, req) for req in ids]
    for of_request, canary in zip(blobs, (ANSWER, ANSWER, PROMPT, WITHHELD, ANSWER), strict=True):
        assert canary in json.dumps(of_request)
    withheld = [blob["value"]["withheld"] for blob in blobs[3] if "withheld" in blob["value"]]
    assert WITHHELD in json.dumps(withheld)
    assert "released" not in json.dumps(blobs[3])
    kept = [row for record in records(gateway) for row in record.get("content", [])]
    assert len(kept) >= 9
    assert {blob["ref"] for of_request in blobs for blob in of_request} == {row["ref"] for row in kept}
    [token] = {record["on_behalf"]["sub"] for record in records(gateway) if "on_behalf" in record}
    (gateway.directory.parent / f"{gateway.directory.name}-name").write_text(PERSON)

    os.kill(gateway.child("gateway.front"), signal.SIGKILL)
    gateway.wait_ready()
    assert in_clear(gateway) == []
    assert read(gateway, ids[0]) == blobs[0], "what was kept is still there after a crash"

    text = gateway.directory.parent / f"{gateway.directory.name}-text"
    text.write_text(f"{PROMPT} and {ANSWER}")
    same = operator(gateway, "content", "find", "--tenant", "demo", "--text-file", str(text))
    assert json.loads(same)["requests"] == [ids[0], ids[1], ids[4]]

    name_file = str(gateway.directory.parent / f"{gateway.directory.name}-name")
    found = operator(gateway, "audit", "subject", "find", "--tenant", "demo", "--name-file", name_file)
    assert json.loads(found) == {"subject": token}
    erased = json.loads(operator(gateway, "audit", "erase", "--subject", token, "--reason", "asked to"))["erased"]
    assert erased == sum(len(of_request) for of_request in blobs[:4])
    for req in ids[:4]:
        assert json.loads(operator_list(gateway, req)) == {"blobs": []}
    assert read(gateway, ids[4]) == blobs[4], "nobody else's text went"
    assert in_clear(gateway) == []
    types = [record["type"] for record in records(gateway)]
    assert types.count("content.erase") == 2
    assert types.count("content.read") == 7
    assert gateway.stop() == 0
    verified = gateway.command("audit", "verify", "--config", str(gateway.config), "--content", "var/content")
    assert verified.returncode == 0, "keys are gone, the blobs are still those that the records name"
    for path in (gateway.directory / "var" / "content").rglob("*.blobs"):
        path.unlink()
    missing = gateway.command("audit", "verify", "--config", str(gateway.config), "--content", "var/content")
    assert missing.returncode == 4, missing.stdout
    assert "content_missing" in missing.stdout


def operator_list(gateway: Gateway, req: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "content", "list", req, "--config", str(gateway.config), "--json"],
        cwd=gateway.directory, env=environment(GATEHOUSE_OPERATOR_KEY=KEY), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, "nothing is kept, and the status says so"
    return done.stdout


def test_a_store_that_cannot_write_stops_the_gateway_from_answering(gateway: Gateway) -> None:
    keys = gateway.directory / "var" / "keystore" / "keys.sqlite"
    holds = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holds, str(keys)], stdout=subprocess.PIPE) as locked:
        assert locked.stdout is not None
        assert locked.stdout.readline() == b"held\n"
        refused = gateway.chat("say: hello")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "audit_unavailable")
        locked.kill()
    gateway.wait_ready()
    assert gateway.chat("say: hello").status_code == 200


def test_a_front_that_is_killed_under_load_leaves_no_record_without_its_text(gateway: Gateway) -> None:
    body: dict[str, object] = {"model": "scripted", "messages": [{"role": "user", "content": f"say: {ANSWER}"}]}
    answers = under_load(gateway, body | {"user": PERSON}, ["gateway.front"] * 2, 0.7)
    assert len(answers) > 20
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert in_clear(gateway) == []
    assert gateway.stop() == 0
    verified = gateway.command("audit", "verify", "--config", str(gateway.config), "--content", "var/content")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize(
    ("content", "code"),
    [("", "content_not_configured"), ("content: {master_key: k, classes: {other: 1d}}\n", "content_not_configured"),
     ("content: {master_key: short.key, classes: {short: 1d}}\n", "content_key_wrong")],
)  # fmt: skip
def test_a_gateway_that_cannot_keep_what_its_policy_asks_for_does_not_start(
    tmp_path: Path, content: str, code: str
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "short.key").touch(mode=0o600)
    (tmp_path / "short.key").write_bytes(b"too short")
    config = write_config(tmp_path, policy="policy.yaml", engine="{url: 'http://127.0.0.1:9/v1'}")
    with config.open("a") as file:
        file.write(content)
    gateway = start(tmp_path, config)
    assert gateway.process.wait(60) == 2, gateway.log()
    assert code in gateway.log()
    assert "Traceback" not in gateway.log()
