"""A required copy of the audit log that goes away and comes back, seen by a client, a probe and an auditor."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.e2e.conftest import RULES_ONLY, Gateway, start, wait_until, write_config


def test_no_answer_without_its_records_in_the_second_place(tmp_path: Path, scripted: str) -> None:
    (tmp_path / "policy.yaml").write_text(RULES_ONLY)
    vault, away = tmp_path / "vault", tmp_path / "away"
    vault.mkdir()
    config = write_config(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}")
    sinks = "audit: {require: 2, sinks: [{name: vault, kind: directory, path: vault, deadline: 1s}]}\n"
    config.write_text(config.read_text() + sinks)
    gateway = start(tmp_path, config)
    try:
        gateway.wait_ready()
        assert gateway.chat("hello").status_code == 200
        assert b"response.complete" in _records(vault)
        vault.rename(away)
        refused = gateway.chat("hello")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "audit_unavailable")
        assert _checks(gateway)["audit"] == "audit_sink_lost: vault"
        assert not vault.exists(), "a directory that is missing is not made"
        away.rename(vault)
        wait_until(lambda: _checks(gateway)["audit"] == "ok")
        gateway.wait_ready()
        assert gateway.chat("hello").status_code == 200
        metrics = httpx.get(gateway.admin + "/metrics").text
        assert 'gatehouse_audit_sink_up{sink="vault"} 1.0' in metrics
    finally:
        assert gateway.stop() == 0
    trust = str(next((tmp_path / "var" / "keys").glob("*.vkey")))
    for directory in (vault, gateway.audit_dir):
        proved = gateway.command("audit", "verify", "--dir", str(directory), "--trust", trust)
        assert proved.returncode == 0, proved.stdout + proved.stderr
    assert _records(vault) == _records(gateway.audit_dir)
    fails = [record for line in _records(vault).splitlines() if (record := json.loads(line))["type"] == "audit.fail"]
    assert [record["err"]["where"] for record in fails] == ["vault"]


def _records(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted((directory / "seg").glob("*.jsonl")))


def _checks(gateway: Gateway) -> dict[str, str]:
    return dict(httpx.get(gateway.admin + "/readyz").json()["checks"])
