"""Required copies of the audit log that go away and come back, seen by a client, a probe and an auditor."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from gateway.cli import main
from tests.e2e.conftest import RULES_ONLY, Gateway, start, wait_until, write_config
from tests.gateway.audit.sinks.nats_server import STREAM, SUBJECT, NatsServer, needs_nats_server
from tests.gateway.audit.sinks.places import same_files


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
        assert main(["audit", "verify", "--dir", str(directory), "--trust", trust]) == 0
    assert _records(vault) == _records(gateway.audit_dir)
    fails = [record for line in _records(vault).splitlines() if (record := json.loads(line))["type"] == "audit.fail"]
    assert [record["err"]["where"] for record in fails] == ["vault"]


@needs_nats_server
def test_no_answer_without_its_records_in_the_stream(tmp_path: Path, scripted: str) -> None:
    """The server of the stream is killed and started again; what is made of the stream afterwards is the log."""
    (tmp_path / "policy.yaml").write_text(RULES_ONLY)
    with NatsServer(tmp_path / "nats") as server:
        server.add_stream()
        config = write_config(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}")
        sink = f"name: line, kind: nats, servers: ['{server.url}'], stream: {STREAM}, subject: {SUBJECT}, deadline: 1s"
        config.write_text(f"{config.read_text()}audit: {{require: 2, sinks: [{{{sink}}}]}}\n")
        gateway = start(tmp_path, config)
        try:
            gateway.wait_ready()
            for number in range(3):
                assert gateway.chat(f"hello {number}").status_code == 200
                told = _records(gateway.audit_dir).splitlines()
                assert server.lines()[: len(told)] == told, "an answer was given before its records were in the stream"
            server.kill()
            for number in range(2):
                refused = gateway.chat(f"nobody {number}")
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "audit_unavailable")
            assert _checks(gateway)["audit"] == "audit_sink_lost: line"
            server.start()
            wait_until(lambda: _checks(gateway)["audit"] == "ok")
            assert gateway.chat("hello again").status_code == 200
        finally:
            assert gateway.stop() == 0
        assert server.lines() == _records(gateway.audit_dir).splitlines()
        types = [json.loads(line)["type"] for line in server.lines()]
        assert (types.count("response.complete"), types.count("audit.fail")) == (4, 1)
        again = str(tmp_path / "again")
        assert main(["audit", "restore", "--config", str(config), "--from-sink", "line", "--out", again]) == 0
    same_files(gateway.audit_dir, tmp_path / "again")
    trust = str(next((tmp_path / "var" / "keys").glob("*.vkey")))
    assert main(["audit", "verify", "--dir", again, "--trust", trust]) == 0


def _records(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted((directory / "seg").glob("*.jsonl")))


def _checks(gateway: Gateway) -> dict[str, str]:
    return dict(httpx.get(gateway.admin + "/readyz").json()["checks"])
