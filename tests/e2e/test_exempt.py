"""What a named rule lets pass without a verdict is accounted for: the log says how much it was, and still holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, environment, serving

INPUT_ONLY = """\
gatehouse: policy/v1
name: input-only
version: 1.0.0
owner: tests@gatehouse.example
detectors:
  burgle: {use: regex, pattern: '(?i)break into the neighbour'}
  far: {use: regex, pattern: '(?i)far away'}
rules:
  - {id: no-burglary, on: [user], when: {burgle: {count: {gte: 1}}}, do: {block: {code: unsafe_content}}}
  - {id: trial, mode: shadow, on: [output], when: {far: {count: {gte: 1}}}, do: {block: {code: unsafe_content}}}
  - {id: pass, on: [system, user, output, reasoning], do: allow}
"""


@pytest.mark.parametrize("policy", [INPUT_ONLY, INPUT_ONLY.replace("mode: shadow, on: [output]", "on: [user]")])
def test_answers_that_no_detector_looks_at_leave_a_log_that_holds(scripted: str, tmp_path: Path, policy: str) -> None:
    (tmp_path / "policy.yaml").write_text(policy)
    with serving(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}") as gateway:
        assert gateway.chat("say: it is far off").json()["choices"][0]["message"]["content"] == "it is far off"
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "say: nice"}]
        assert gateway.post("/v1/chat/completions", {"model": "scripted", "messages": messages}).status_code == 200
        assert gateway.chat("break into the neighbour").status_code == 400
    key = next((tmp_path / "var" / "keys").glob("*.vkey"))
    script = [sys.executable, str(ROOT / "docs" / "verify.py"), str(gateway.audit_dir), str(key)]
    checked = subprocess.run(script, env=environment(), capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = [json.loads(line) for path in gateway.audit_dir.rglob("*.jsonl") for line in path.read_text().splitlines()]
    admitted = [record["coverage"] for record in lines if record["type"] == "request.admit"]
    assert [row.get("parts_exempt") for row in admitted] == [None, 1], "the system message"
