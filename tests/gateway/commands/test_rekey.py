"""Another master key as an operator brings it: recorded, refused while the gateway runs, finished after a crash."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.audit.log import AuditLog
from gateway.config import load_config
from gateway.content.keys import load_master_key
from gateway.content.keystore import Keystore
from gateway.content.rekey import rekey
from gateway.content.segments import Spot
from gateway.front import audit_settings
from tests.gateway.content.opened import place

CONFIG = """\
gatehouse: config/v1
keys: [{id: demo, tenant: demo, key: gatehouse-demo-key}]
policy: policy.yaml
engine: {url: 'http://127.0.0.1:9/v1'}
state: STATE
origin: site/one
content: {master_key: content.key, classes: {default: 30d}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration, and a key store with one text in it."""
    (tmp_path / "policy.yaml").write_text("")
    configure(tmp_path)
    store = store_of(tmp_path, "content.key")
    with store.transaction():
        store.new_dek(place("r1", ref="a" * 32), "r1", Spot("default/0.blobs", 0), 10)
    store.close()
    return tmp_path


def configure(path: Path, text: str = CONFIG) -> None:
    (path / "gatehouse.yaml").write_text(text.replace("STATE", str(path / "var")))


def store_of(path: Path, key: str) -> Keystore:
    master = load_master_key(path / key, may_create=True)
    return Keystore(path / "var" / "keystore" / "keys.sqlite", master, "site/one")


def run(path: Path, new: str) -> int:
    words = ["content", "rekey", "--new-key", str(path / new), "--config", str(path / "gatehouse.yaml")]
    return cli.main(words)


def records(path: Path) -> list[dict[str, Any]]:
    found = [
        json.loads(line)
        for file in sorted((path / "var" / "audit" / "seg").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [record for record in found if record["type"] == "key.rotate"]


def test_key_is_changed_and_both_moments_are_recorded(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(site, "second.key") == 0
    assert f"master_key: {site}/second.key" in capsys.readouterr().out
    admitted, done = records(site)
    assert (admitted["stage"], done["stage"], done["wrapped"]) == ("admit", "complete", 1)
    assert admitted["key"] == done["key"]
    assert admitted["key"]["from"] != admitted["key"]["to"]
    store = store_of(site, "second.key")
    assert len(store.dek("a" * 32)) == 32
    store.close()
    trust = str(site / "var" / "keys" / "site-one.vkey")
    assert cli.main(["audit", "verify", "--dir", str(site / "var" / "audit"), "--trust", trust]) == 0
    assert run(site, "third.key") == 2, "the configuration names the old key still"
    assert "content_key_wrong" in capsys.readouterr().err


def test_what_a_crash_left_is_finished(site: Path) -> None:
    store = store_of(site, "content.key")
    rekey(store, load_master_key(site / "second.key", may_create=True))
    store.close()
    assert run(site, "second.key") == 0
    (done,) = records(site)
    assert (done["stage"], done["resumed"], done["wrapped"]) == ("complete", True, 1)


def test_a_running_gateway_is_left_alone(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = AuditLog.open(audit_settings(load_config(site / "gatehouse.yaml")))
    assert run(site, "second.key") == 2
    assert "audit_locked" in capsys.readouterr().err
    asyncio.run(log.close())
    store = store_of(site, "content.key")
    assert store.rows("r1")
    assert run(site, "second.key") == 2
    assert "database is locked" in capsys.readouterr().err
    store.close()
    assert run(site, "second.key") == 0


def test_keys_that_cannot_be_used_are_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "short").write_bytes(b"short")
    (site / "short").chmod(0o600)
    for new, told in (
        ("content.key", "is the old one"),
        ("short", "content_key_wrong"),
        ("var/keystore/k", "inside `keystore`"),
    ):
        assert run(site, new) == 2
        assert told in capsys.readouterr().err
    configure(site, CONFIG.rpartition("content:")[0])
    assert run(site, "second.key") == 2
    assert "there is no key store" in capsys.readouterr().err
    store_of(site, "content.key").close()
