"""What a policy loosens is on record and the log still holds; who is asked is asked, and has to be there at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import ROOT, environment, serving, wait_until

POLICY = """\
gatehouse: policy/v1
name: looser
version: 1.0.0
owner: tests@gatehouse.example
defaults:
  uncovered: allow
  accept_risk: {by: tests, ticket: RISK-1, until: 2098-12-31}
  stream: {mode: shadow_only}
detectors:
  burgle: {use: regex, pattern: '(?i)break into the neighbour'}
  pay: {use: regex, pattern: '(?i)transfer'}
rules:
  - {id: burglary, on: [output], when: {burgle: {count: {gte: 1}}}, do: {block: {code: unsafe}}}
  - {id: burglars, on: [user], when: {burgle: {count: {gte: 1}}}, do: {block: {code: unsafe, dialect: openai_refusal}}}
  - {id: payments, on: [user], when: {pay: {count: {gte: 1}}}, do: {review: {queue: desk, quorum: 1, hold: request}}}
"""
RITA = "gh_rita-of-the-desk-0000001"
DIGEST = hashlib.sha256(RITA.encode()).hexdigest()
PEOPLE = f"operators: [{{name: rita, sha256: {DIGEST}, roles: [reviewer], queues: [desk]}}]\n"


def test_what_is_loosened_is_on_record_and_the_log_holds(scripted: str, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    with serving(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}", more=PEOPLE) as gateway:
        streamed = gateway.chat("read page seven", stream=True)
        assert "neighbour" in streamed.text
        assert gateway.chat("read page seven").json()["choices"][0]["finish_reason"] == "content_filter"
        refusal = gateway.chat("break into the neighbour")
        assert (refusal.status_code, refusal.json()["gatehouse"]["code"]) == (200, "unsafe")
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "say: nice"}]
        assert gateway.post("/v1/chat/completions", {"model": "scripted", "messages": messages}).status_code == 200
        answers: list[httpx.Response] = []
        client = threading.Thread(target=lambda: answers.append(gateway.chat("say: transfer done")))
        client.start()
        assert approved(gateway) == "approved; 1 of 1"
        client.join(20)
        assert answers[0].json()["choices"][0]["message"]["content"] == "transfer done"
        (tmp_path / "policy.yaml").write_text(POLICY.replace("quorum: 1", "quorum: 2"))
        wait_until(lambda: "wants 2 people of the queue `desk`, which has 1" in gateway.log())
    key = next((tmp_path / "var" / "keys").glob("*.vkey"))
    script = [sys.executable, str(ROOT / "docs" / "verify.py"), str(gateway.audit_dir), str(key)]
    checked = subprocess.run(script, env=environment(), capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = [json.loads(line) for path in gateway.audit_dir.rglob("*.jsonl") for line in path.read_text().splitlines()]
    admitted = [record for record in lines if record["type"] == "request.admit"]
    assert admitted[0]["stream"]["mode"] == "shadow_only"
    assert [row["coverage"].get("uncovered_accepted") for row in admitted] == [
        None,
        None,
        ["/messages/0/content"],
        None,
    ]
    assert [record["err"]["code"] for record in lines if record["type"] == "policy.reject"] == ["quorum_unreachable"]
    noted = next(record for record in lines if record["type"] == "response.complete")
    assert noted["decision"]["shadow"] == [{"rule": "burglary", "action": "block"}]
    assert noted["stream"]["released_unjudged"] == noted["stream"]["received"]


def approved(gateway: Any) -> str:
    """As a reviewer of the queue does it, by the command line."""
    headers = {"authorization": f"Bearer {RITA}"}

    def waiting() -> list[dict[str, Any]]:
        return list(httpx.get(gateway.admin + "/admin/reviews", headers=headers, timeout=5).json()["reviews"])

    wait_until(lambda: bool(waiting()))
    review = waiting()[0]["id"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "review", "approve", review, "--config", str(gateway.config)],
        cwd=gateway.directory, env=environment(GATEHOUSE_OPERATOR_KEY=RITA), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().removeprefix(f"{review}: ")
