"""Real processes on real sockets: `gatehouse serve`, and a scripted model server where a test needs a bad one.

One gateway of each kind serves the whole session; tests that kill something start their own with `serve`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
KEY = "gatehouse-demo-key"
CHAT = "/v1/chat/completions"
RULES_ONLY = """\
gatehouse: policy/v1
name: rules-only
version: 1.0.0
owner: tests@gatehouse.example
defaults:
  stream: {mode: window, window: 64 characters, holdback: 48 characters, max_wait: 500ms}
  limits: {n: 4}
detectors:
  hidden: {use: unicode, find: [tags, bidi]}
  tokens: {use: special_tokens}
  creds: {use: secrets}
  burgle: {use: regex, pattern: '(?i)break into the neighbour'}
rules:
  - id: forged
    on: [system, user, history, tool_schema, tool_result, tool_call]
    when: {any: [{tokens: {count: {gte: 1}}}, {hidden: {count: {gte: 1}}}]}
    do: {block: {code: forged_markup, message: Control tokens are not accepted.}}
  - id: creds-out
    on: [output, reasoning, tool_call]
    when: {creds: {count: {gte: 1}}}
    do: {redact: {as: "[{label}]"}}
  - id: no-burglary
    on: [user, output, reasoning]
    when: {burgle: {count: {gte: 1}}}
    do: {block: {code: unsafe_content}}
  - {id: pass, on: [system, user, history, tool_schema, tool_result, tool_call, output, reasoning], do: allow}
"""


@dataclass
class Gateway:
    """A running `gatehouse serve`."""

    process: subprocess.Popen[bytes]
    directory: Path
    api: str
    admin: str
    config: Path

    @property
    def audit_dir(self) -> Path:
        return self.directory / "var" / "audit"

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {KEY}"} | options.pop("headers", {})
        return httpx.post(self.api + path, json=body, headers=headers, timeout=30, **options)

    def chat(self, text: str, model: str = "scripted", **fields: Any) -> httpx.Response:
        return self.post(CHAT, {"model": model, "messages": [{"role": "user", "content": text}]} | fields)

    def child(self, module: str) -> int:
        """The pid of the child that runs `module`."""
        for pid in children(self.process.pid):
            if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        raise AssertionError(f"no child runs {module}")

    def wait_ready(self, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"gateway ended with {self.process.returncode}: {self.log()}")
            try:
                if httpx.get(self.admin + "/readyz", timeout=1).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"gateway is not ready: {self.log()}")

    def log(self) -> str:
        return (self.directory / "serve.log").read_text()[-4000:]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `gatehouse ARGUMENTS` in the gateway's directory."""
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            cwd=self.directory, env=environment(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def verify(self) -> subprocess.CompletedProcess[str]:
        return self.command("audit", "verify", "--config", str(self.config))


def children(pid: int) -> list[int]:
    """Living children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"} | more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(directory: Path, *, policy: str, engine: str) -> Path:
    config = directory / "gatehouse.yaml"
    config.write_text(
        f"gatehouse: config/v1\n"
        f"listen: {{api: '127.0.0.1:{free_port()}', admin: '127.0.0.1:{free_port()}'}}\n"
        f"keys: [{{id: demo, tenant: demo, app: quickstart, key: {KEY}}}]\n"
        f"policy: {policy}\n"
        f"engine: {engine}\n"
        f"state: var\norigin: e2e/1\ndrain: 3s\n"
    )
    return config


def start(directory: Path, config: Path, **variables: str) -> Gateway:
    """Start `gatehouse serve`, with these environment variables; does not wait until it is ready."""
    api, admin = re.findall(r"'([^']+:[0-9]+)'", config.read_text())[:2]
    with (directory / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)],
            cwd=directory, env=environment(**variables), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return Gateway(process, directory, f"http://{api}", f"http://{admin}", config)


@contextmanager
def serving(directory: Path, *, policy: str, engine: str, more: str = "") -> Iterator[Gateway]:
    """A gateway that is ready; stopped, and its log verified, at the end. `more` is added to its configuration."""
    config = write_config(directory, policy=policy, engine=engine)
    config.write_text(config.read_text() + more)
    with running(directory, config) as gateway:
        yield gateway


@contextmanager
def running(directory: Path, config: Path) -> Iterator[Gateway]:
    """The same with a configuration that is there."""
    gateway = start(directory, config)
    try:
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.stop()
    verified = gateway.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the scripted model server."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "scripted_upstream.py"), "--port", str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: httpx.get(url + "/v1/models", timeout=1).status_code == 200)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def rules_gateway(scripted: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Rule detectors only, before the scripted model server by URL."""
    directory = tmp_path_factory.mktemp("rules")
    (directory / "policy.yaml").write_text(RULES_ONLY)
    with serving(directory, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def starter_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The quickstart: starter guards, starter engine, default policy."""
    directory = tmp_path_factory.mktemp("starter")
    policy = ROOT / "policies" / "library" / "default.yaml"
    with serving(directory, policy=str(policy), engine="{starter: true}") as gateway:
        yield gateway


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition that may raise httpx errors until it holds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError("the condition did not come true in time")
