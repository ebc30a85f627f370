"""A thousand reloads under load: no exchange is dropped, and none is decided by two policies."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import CHAT, KEY, Gateway, serving
from tests.e2e.signing import OPERATOR, operators

RELOADS = int(os.environ.get("GATEHOUSE_RELOADS", "1000"))
POLICY = """\
gatehouse: policy/v1
name: {name}
version: 1.0.0
detectors: {{words: {{use: regex, pattern: both}}}}
rules:
  - {{id: {name}, on: [user], when: {{words: {{count: {{gte: 1}}}}}}, do: {{block: {{code: {name}}}}}}}
  - {{id: pass, on: [system, user, tool_result, tool_call, output, reasoning], do: allow}}
"""


@pytest.fixture
def gateway(tmp_path: Path, scripted: str) -> Iterator[Gateway]:
    (tmp_path / "policy.yaml").write_text(POLICY.format(name="one"))
    policy, engine = "{file: policy.yaml, watch: false}", f"{{url: '{scripted}/v1'}}"
    with serving(tmp_path, policy=policy, engine=engine, more=operators()) as gateway:
        yield gateway


def ask(gateway: Gateway, stop: threading.Event, found: Counter[Any]) -> None:
    """Blocked and allowed requests in turn, until told to stop."""
    with httpx.Client(timeout=20, headers={"authorization": f"Bearer {KEY}"}) as client:
        while not stop.is_set():
            for text in ("both", "nothing"):
                body = {"model": "scripted", "messages": [{"role": "user", "content": text}]}
                answer = client.post(gateway.api + CHAT, json=body)
                found[text, answer.status_code] += 1
                if text == "both":
                    said = answer.json()["error"]["gatehouse"]
                    assert said["code"] == said["policy"]["name"] == said["rules"][0]


@pytest.mark.timeout(300)
def test_a_thousand_reloads_under_load(gateway: Gateway, tmp_path: Path) -> None:
    stop, found = threading.Event(), Counter[Any]()
    threads = [threading.Thread(target=ask, args=(gateway, stop, found)) for _ in range(4)]
    for thread in threads:
        thread.start()
    headers = {"authorization": f"Bearer {OPERATOR}"}
    with httpx.Client(timeout=20, headers=headers, base_url=gateway.admin) as operator:
        for number in range(RELOADS):
            name = ("one", "two")[number % 2]
            (tmp_path / "policy.yaml").write_text(POLICY.format(name=name))
            said = operator.post("/admin/policy/reload", json={})
            assert said.json()["policy"]["name"] == name, said.text
    stop.set()
    for thread in threads:
        thread.join(30)
    assert {status for _, status in found} == {400, 200}
    assert {text for text, status in found if status == 400} == {"both"}
    assert min(found.values()) > RELOADS // 10
    assert gateway.stop() == 0
    check_records(gateway, sum(found.values()))
    assert gateway.verify().returncode == 0


def check_records(
    gateway: Gateway, asked: int, rules_of: Callable[[Any], set[str]] = lambda policy: {policy["name"]}
) -> None:
    """Every exchange has its records, all by one policy, and a rule that decided is a rule of that policy."""
    policies: dict[str, set[str]] = {}
    for file in sorted((gateway.audit_dir / "seg").glob("*.jsonl")):
        for record in map(json.loads, file.read_text().splitlines()):
            if not record["type"].startswith(("request.", "response.")):
                continue
            policies.setdefault(record["req"], set()).add(record["policy"]["compiled_digest"])
            rules = {*record["decision"]["rules"]} - {"pass"}
            assert rules <= rules_of(record["policy"])
    assert len(policies) == asked
    assert {len(digests) for digests in policies.values()} == {1}
    assert len(set.union(*policies.values())) == 2
