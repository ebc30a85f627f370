"""An auditor reads a running log: through the gateway, which records it, and from the files, where nothing can."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.e2e.conftest import RULES_ONLY, Gateway, start, write_config

KEY = "gh_an-auditors-key-0001"


def with_auditor(directory: Path, scripted: str) -> Path:
    (directory / "policy.yaml").write_text(RULES_ONLY)
    (directory / "auditor.key").write_text(KEY)
    config = write_config(directory, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    with config.open("a") as file:
        file.write(f"operators: [{{name: vera, sha256: '{digest}', roles: [auditor]}}]\n")
    return config


def answered(gateway: Gateway, *words: str, status: int = 0) -> str:
    done = gateway.command("audit", *words, "--config", str(gateway.config))
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_a_day_at_the_auditors_desk(scripted: str, tmp_path: Path) -> None:
    gateway = start(tmp_path, with_auditor(tmp_path, scripted))
    try:
        gateway.wait_ready()
        assert gateway.chat("break into the neighbour").status_code == 400
        assert gateway.chat("say: nice").status_code == 200
        asked = ["search", "no-burglary", "--gateway", "--key-file", "auditor.key", "--json"]
        [blocked] = map(json.loads, answered(gateway, *asked).splitlines())
        assert (blocked["type"], blocked["decision"]["code"]) == ("request.refuse", "unsafe_content")
        [read] = map(json.loads, answered(gateway, "search", "--type", "audit.read", "--json").splitlines())
        assert (read["actor"]["sub"], read["query"]["words"], read["found"]) == ("vera", ["no-burglary"], 1)
        answered(gateway, "replay", str(blocked["seq"]))
        assert "unsafe_content" in answered(gateway, "stats", "--by", "code", "--daily")
        refused = gateway.command(
            "audit", "review", "--day", "2999-01-01", "--key-file", "auditor.key", "--config", str(gateway.config)
        )
        assert (refused.returncode, "day_not_over" in refused.stderr) == (2, True)
    finally:
        gateway.stop()
    for form in ("jsonl", "csv", "ocsf", "cef", "otel", "parquet"):
        answered(gateway, "export", "--format", form, "--out", f"out.{form}")
    made = [*tmp_path.glob("out.*"), *(tmp_path / "var").glob("audit-index.sqlite*")]
    assert len(made) >= 7
    for file in made:
        assert b"neighbour" not in file.read_bytes(), f"{file.name} holds text of a prompt"
    events = [json.loads(line) for line in answered(gateway, "export", "--format", "ocsf").splitlines()]
    assert [event["metadata"]["event_code"] for event in events if event["class_uid"] == 2004] == ["request.refuse"]
    report = json.loads(answered(gateway, "controls", "--framework", "pci", "--json", status=1))
    [reads] = [control for control in report["controls"] if control["id"] == "10.2.1.3"]
    assert reads["evidence"][0]["by_type"] == {"audit.read": 1}
    assert gateway.verify().returncode == 0
