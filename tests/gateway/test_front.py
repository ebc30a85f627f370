"""The front as a process: inherits its sockets, serves, reloads, drains, and says in one line why it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from gateway.config import load_config
from gateway.front import _tenants
from tests.gateway.small_policy import POLICY

ROOT = Path(__file__).resolve().parents[2]
KEY = "gatehouse-demo-key"
CONFIG = """\
gatehouse: config/v1
keys: [{id: demo, tenant: demo, key: gatehouse-demo-key}]
policy: policy.yaml
engine: {url: 'http://127.0.0.1:9/v1', models: {m: m}}
drain: 1s
"""


class Front:
    """One front process and the two sockets that its supervisor would own."""

    def __init__(self, directory: Path, policy: str = POLICY) -> None:
        self.directory = directory
        (directory / "gatehouse.yaml").write_text(CONFIG)
        self.write_policy("1.0.0", policy)
        self.api, self.admin = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))

    def write_policy(self, version: str, policy: str = POLICY) -> None:
        (self.directory / "policy.yaml").write_text(policy.replace("VERSION", version))

    def start(self) -> subprocess.Popen[bytes]:
        sockets = (self.api.fileno(), self.admin.fileno())
        self.log: IO[bytes] = (self.directory / "front.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.front", "--config", str(self.directory / "gatehouse.yaml"),
             "--state", str(self.directory / "var"), "--api-fd", str(sockets[0]), "--admin-fd", str(sockets[1])],
            cwd=ROOT, stdin=subprocess.PIPE, stderr=self.log, stdout=self.log, pass_fds=sockets,
        )  # fmt: skip
        return self.process

    def said(self) -> str:
        return (self.directory / "front.log").read_text()

    def refused(self) -> str:
        """What it says when it cannot work."""
        try:
            assert self.start().wait(30) == 2, self.said()
        finally:
            self.close()
        assert "Traceback" not in self.said()
        return self.said()

    def url(self, listener: socket.socket) -> str:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def chat(self, text: str) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.post(self.url(self.api) + "/v1/chat/completions", json=body, headers=headers, timeout=10)

    def records(self) -> list[dict[str, Any]]:
        segments = sorted((self.directory / "var" / "audit").rglob("*.jsonl"))
        return [json.loads(line) for path in segments for line in path.read_text().splitlines()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.log.close()
        self.api.close()
        self.admin.close()


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    front = Front(tmp_path)
    front.start()
    try:
        assert httpx.get(front.url(front.admin) + "/livez", timeout=20).status_code == 200
        yield front
    finally:
        front.close()


def test_it_serves_both_listeners_and_keeps_its_state_to_itself(front: Front) -> None:
    """One walk through a process, since each costs a second to start."""
    blocked = front.chat("this is BAD")
    assert (blocked.status_code, blocked.json()["error"]["gatehouse"]["code"]) == (400, "bad")
    assert front.chat("hello").json()["error"]["code"] == "upstream_unreachable"
    assert httpx.get(front.url(front.api) + "/metrics").status_code == 200
    assert httpx.get(front.url(front.admin) + "/v1/models").status_code == 404
    checks = httpx.get(front.url(front.admin) + "/readyz").json()["checks"]
    assert checks == {"engine": "upstream_unreachable", "audit": "ok"}, "configured models are no sign of life"
    state = front.directory / "var"
    for path in (state, state / "keys"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (state / "keys" / "audit.pem", state / "keys" / "digest.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    everything = b"".join(path.read_bytes() for path in front.directory.rglob("*") if path.is_file())
    assert b"this is BAD" not in everything


def test_a_hang_up_signal_reloads_the_policy_or_keeps_it(front: Front) -> None:
    def version() -> str:
        found = front.chat("BAD").json()["error"]["gatehouse"]["policy"]["version"]
        return str(found)

    assert version() == "1.0.0"
    front.write_policy("2.0.0")
    front.process.send_signal(signal.SIGHUP)
    until(lambda: version() == "2.0.0")
    front.write_policy("3.0.0", POLICY.replace("use: secrets", "use: secretz"))
    front.process.send_signal(signal.SIGHUP)
    until(lambda: "policy_rejected" in front.said())
    assert version() == "2.0.0"
    assert "policy.yaml:5:" in front.said(), "the log says what is wrong and where"


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "the supervisor's end"])
def test_it_ends_well_and_its_log_is_closed(front: Front, how: str) -> None:
    front.chat("hello")
    if how.startswith("SIG"):
        front.process.send_signal(signal.Signals[how])
    else:
        assert front.process.stdin is not None
        front.process.stdin.close()
    assert front.process.wait(15) == 0, front.said()
    assert "Traceback" not in front.said()
    assert front.records()[-1]["type"] == "gateway.stop"


def test_a_second_front_on_the_same_log_is_refused(front: Front, tmp_path: Path) -> None:
    other = Front(tmp_path)
    assert "gatehouse: audit_locked: " in other.refused()


def test_a_policy_that_does_not_load_is_refused_with_its_places(tmp_path: Path) -> None:
    assert "policy.yaml:5:26: " in Front(tmp_path, POLICY.replace("use: secrets", "use: secretz")).refused()


def test_a_policy_that_needs_a_host_that_was_not_started_is_refused(tmp_path: Path) -> None:
    policy = POLICY.replace("use: secrets", "use: starter_injection").replace(
        "creds: {count: {gte: 1}}", "creds: {score: {gte: 0.5}}"
    )
    assert "gatehouse: guard_unusable: guard `starter_injection`" in Front(tmp_path, policy).refused()


@pytest.mark.parametrize("name", ["audit.pem", "digest.key"])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    first = Front(tmp_path)
    first.start()
    assert httpx.get(first.url(first.admin) + "/livez", timeout=20).status_code == 200
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(15)
    first.close()
    (tmp_path / "var" / "keys" / name).chmod(0o644)
    said = Front(tmp_path).refused()
    assert "audit_key_unsafe" in said
    assert "0644" in said


def test_a_state_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    assert "gatehouse: state_unwritable: " in Front(tmp_path).refused()


def test_a_configuration_that_is_gone_is_refused(tmp_path: Path) -> None:
    front = Front(tmp_path)
    os.unlink(tmp_path / "gatehouse.yaml")
    assert "config_unreadable" in front.refused()


def test_a_trial_draws_from_tenants_that_the_policy_for_all_decides_for(tmp_path: Path) -> None:
    """Those with a policy of their own, whatever their app, could be drawn and would never meet the candidate."""
    keys = ["{id: a, tenant: bank, app: x, key: gatehouse-demo-key}"]
    others = (("b", "bank", "y"), ("c", "clinic", "ward"), ("d", "clinic", "desk"), ("e", "school", "x"))
    for number, (name, tenant, app) in enumerate(others):
        keys.append(f"{{id: {name}, tenant: {tenant}, app: {app}, sha256: '{number:064x}'}}")
    text = CONFIG.replace("[{id: demo, tenant: demo, key: gatehouse-demo-key}]", f"[{', '.join(keys)}]")
    ward = "{policy: policy.yaml, name: ward, tenant: clinic, app: ward}"
    bound = f"policies: [{{policy: policy.yaml, tenant: bank}}, {ward}]\n"
    (tmp_path / "policy.yaml").write_text(POLICY.replace("VERSION", "1.0.0"))
    (tmp_path / "gatehouse.yaml").write_text(text + bound)
    assert _tenants(load_config(tmp_path / "gatehouse.yaml")) == {"clinic", "school"}
