"""A log made again from a bucket or a stream, as an operator types it: from a configuration to a verified directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.cli import main
from gateway.config import load_config
from gateway.front import audit_settings
from tests.gateway.audit.sinks.nats_server import STREAM, SUBJECT, NatsServer, needs_nats_server
from tests.gateway.audit.sinks.places import same_files
from tests.gateway.audit.sinks.s3_server import ACCESS, BUCKET, REGION, SECRET, Store, s3_server

CONFIG = """\
gatehouse: config/v1
keys: [{{id: demo, tenant: demo, key: gatehouse-demo-key}}]
policy: policy.yaml
engine: {{url: 'http://127.0.0.1:9/v1'}}
state: {state}
origin: site/one
audit:
  require: 2
  sinks:
    - {{name: worm, kind: s3, endpoint: '{endpoint}', bucket: {bucket}, region: {region}, credentials_file: keys,
       window: 0ms, required: true}}
    - {{name: vault, kind: directory, path: /nowhere/copy}}
    - {{name: siem, kind: syslog, host: 127.0.0.1, port: 9, ca_file: keys}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, Store]]:
    """A configuration with a bucket, and a log that was written with it."""
    with s3_server() as (store, endpoint):
        (tmp_path / "keys").write_text(f"{ACCESS}\n{SECRET}\n")
        (tmp_path / "policy.yaml").write_text("")
        file = tmp_path / "gatehouse.yaml"
        file.write_text(CONFIG.format(state=tmp_path / "var", endpoint=endpoint, bucket=BUCKET, region=REGION))
        asyncio.run(_write(file))
        yield file, store


async def _write(file: Path) -> None:
    log = AuditLog.open(audit_settings(load_config(file)))
    for number in range(5):
        await log.append({"type": "auth.fail", "n": number})
    await log.close()


def run(*words: object) -> int:
    return main(["audit", *map(str, words)])


def test_log_is_restored_by_the_name_of_its_sink_and_verified(
    tmp_path: Path, site: tuple[Path, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = site
    store.put(next(name for name in store.names() if name.endswith(".jsonl")), None)
    assert run("restore", "--config", file, "--from-sink", "worm", "--out", tmp_path / "again") == 0
    said = capsys.readouterr().out
    assert "8 records written" in said or "7 records written" in said
    assert "1 objects were removed from the bucket" in said
    same_files(tmp_path / "var" / "audit", tmp_path / "again")
    trust = tmp_path / "var" / "keys" / "site-one.vkey"
    assert run("verify", "--dir", tmp_path / "again", "--trust", trust) == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone", "no sink has the name `gone`; known: `worm`, `vault`, `siem`"),
        ("vault", "is a log directory already"),
        ("siem", "cannot be read"),
    ],
)
def test_sink_that_cannot_be_restored_from_is_told(
    tmp_path: Path, site: tuple[Path, Store], capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    assert run("restore", "--config", site[0], "--from-sink", name, "--out", tmp_path / "again") == 5
    assert told in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_nothing_is_written_over_what_is_there_or_from_a_bucket_with_a_hole(
    tmp_path: Path, site: tuple[Path, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = site
    assert run("restore", "--config", file, "--from-sink", "worm", "--out", tmp_path) == 5
    assert "is there already" in capsys.readouterr().err
    del store.objects[next(name for name in store.names() if name.endswith(".jsonl"))]
    assert run("restore", "--config", file, "--from-sink", "worm", "--out", tmp_path / "again") == 5
    assert "are not in the bucket" in capsys.readouterr().err


@needs_nats_server
def test_log_is_restored_from_a_stream_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with NatsServer(tmp_path / "nats") as server:
        server.add_stream()
        (tmp_path / "policy.yaml").write_text("")
        file = tmp_path / "gatehouse.yaml"
        text = CONFIG.format(state=tmp_path / "var", endpoint="", bucket="", region="").partition("  sinks:")[0]
        place = f"name: line, kind: nats, servers: ['{server.url}'], stream: {STREAM}, subject: {SUBJECT}"
        file.write_text(f"{text}  sinks: [{{{place}, required: true}}]\n")
        asyncio.run(_write(file))
        assert run("restore", "--config", file, "--from-sink", "line", "--out", tmp_path / "again") == 0
        assert "records written" in capsys.readouterr().out
        same_files(tmp_path / "var" / "audit", tmp_path / "again")
        trust = tmp_path / "var" / "keys" / "site-one.vkey"
        assert run("verify", "--dir", tmp_path / "again", "--trust", trust) == 0
    assert run("restore", "--config", file, "--from-sink", "line", "--out", tmp_path / "more") == 5
    assert "gave no answer" in capsys.readouterr().err
