"""Tiles and anchors with a log that runs, as the front starts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.admission import Admission
from gateway.anchoring import Anchoring
from gateway.audit.anchors.history import AnchorHistory
from gateway.audit.log import AuditLog
from gateway.config import Config, load_config
from gateway.errors import Unavailable
from gateway.front import audit_settings
from gateway.metrics import Metrics
from tests.doubles import eventually
from tests.gateway.audit.harness import exchange
from tests.gateway.witness.live_witness import COSIGNER


def config_in(path: Path, anchors: str) -> Config:
    (path / "policy.yaml").write_text("")
    (path / "w.vkey").write_text(COSIGNER.vkey)
    (path / "mnt").mkdir(exist_ok=True)
    (path / "gatehouse.yaml").write_text(
        "gatehouse: config/v1\nkeys: [{id: k, tenant: t, key: gatehouse-demo-key}]\npolicy: policy.yaml\n"
        f"engine: {{starter: true}}\norigin: test/one/audit\naudit: {{anchors: [{anchors}]}}\n"
    )
    return load_config(path / "gatehouse.yaml", path / "state")


FILE = "{name: worm, kind: file, directory: mnt, every: 1s}"
GONE = "{name: gone, kind: file, directory: nowhere, every: 1s, max_age: 3s}"


async def test_heads_leave_the_machine_while_the_log_runs_and_at_its_end(tmp_path: Path) -> None:
    config = config_in(tmp_path, FILE)
    audit, metrics = AuditLog.open(audit_settings(config)), Metrics()
    anchoring = Anchoring(config, audit, metrics)
    anchoring.start()
    for record in exchange("one"):
        await audit.append(record)
    log = config.audit_dir / "anchors.log"
    await eventually(lambda: log.exists() and (config.audit_dir / "tile/built").exists())
    segments = config.audit_dir / "seg"
    await eventually(lambda: any(b"checkpoint.anchor" in path.read_bytes() for path in segments.glob("*.jsonl")))
    age_s = metrics.registry.get_sample_value("gatehouse_audit_anchor_age_seconds", {"name": "worm"})
    assert age_s == pytest.approx(0, abs=5)
    await audit.append({"type": "auth.fail", "stage": "complete"})
    await audit.close()
    await anchoring.stop()
    size = audit.head[0]
    assert (tmp_path / f"mnt/test-one-audit/{size:016d}.checkpoint").read_bytes() == (
        config.audit_dir / "checkpoint"
    ).read_bytes()
    assert AnchorHistory(config.audit_dir).recent().last["worm"].size == size
    assert json.loads(log.read_text().splitlines()[-1])["kind"] == "file"
    assert anchoring.probes() == {}


async def test_an_anchor_that_is_too_old_closes_the_door_and_not_the_log(tmp_path: Path) -> None:
    config = config_in(tmp_path, GONE)
    audit = AuditLog.open(audit_settings(config))
    anchoring = Anchoring(config, audit, Metrics())
    anchoring.start()
    admission = Admission(config.concurrency, anchoring.trouble)
    admission.enter("k")
    await eventually(lambda: anchoring.trouble() is not None)
    with pytest.raises(Unavailable, match="not anchored outside this machine") as refused:
        admission.enter("k")
    assert refused.value.code == "audit_unavailable"
    with pytest.raises(Unavailable, match="anchor `gone` has had no success"):
        await anchoring.probes()["anchors"]()
    # What is open ends with its records.
    for record in exchange("open"):
        await audit.append(record)
    (tmp_path / "nowhere").mkdir()
    await eventually(lambda: anchoring.trouble() is None)
    admission.enter("k")
    await anchoring.probes()["anchors"]()
    await audit.close()
    await anchoring.stop()


async def test_all_kinds_are_made(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("")
    more = "{name: w, kind: witness, url: 'http://127.0.0.1:9/', key: w.vkey}"
    config = config_in(tmp_path, f"{more}, {{name: tsa, kind: rfc3161, url: 'http://127.0.0.1:9/', roots: roots.pem}}")
    audit, metrics = AuditLog.open(audit_settings(config)), Metrics()
    anchoring = Anchoring(config, audit, metrics)
    anchoring.start()
    await eventually(lambda: all(one.problem == "anchor_unreachable" for one in anchoring._anchors.standings()))
    await audit.close()
    await anchoring.stop()
