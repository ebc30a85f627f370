"""What is told of the log at each scrape."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from gateway.audit.log import AuditLog
from gateway.audit_metrics import AuditMetrics
from tests.gateway.audit.harness import FixedClock, begin_version_1, put_test_key, settings_in
from tests.gateway.audit.sinks.places import directory_sinks, log_settings


def scraped(log: AuditLog) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(AuditMetrics(log))
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.split(" ") for line in lines if not line.startswith("#"))}


async def test_log_tells_whether_it_records_its_room_and_its_key(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path, reserve_bytes=4096, low_space=0.000_001))
    await log.append({"type": "auth.fail"})
    found = scraped(log)
    assert found["gatehouse_audit_recording"] == 1
    assert found["gatehouse_audit_space_low"] == 0
    assert found["gatehouse_audit_free_bytes"] > 4096
    assert found["gatehouse_audit_epoch_ends"] == log.epoch.until_ns / 1e9
    await log.close()
    assert scraped(log)["gatehouse_audit_recording"] == 0


async def test_each_second_place_is_told_by_name(tmp_path: Path) -> None:
    log = AuditLog.open(log_settings(tmp_path, directory_sinks(tmp_path)))
    await log.append({"type": "auth.fail"})
    found = scraped(log)
    assert found['gatehouse_audit_sink_up{sink="copy"}'] == 1
    assert found['gatehouse_audit_sink_lag{sink="copy"}'] == 0
    await log.close()


async def test_log_of_version_1_has_no_epoch_that_ends(tmp_path: Path) -> None:
    put_test_key(tmp_path)
    begin_version_1(tmp_path, FixedClock())
    log = AuditLog.open(settings_in(tmp_path))
    assert "gatehouse_audit_epoch_ends" not in scraped(log)
    await log.close()
