"""The front's application on a real socket, with doubles for guards, model server and audit log.

One `Live` runs uvicorn in a thread, with the settings that gateway/front.py serves with. Tests talk to it as clients
and attackers do, and look at what the doubles kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import httpx

from gateway.admission import Admission, Concurrency
from gateway.app import Gate, make_app
from gateway.auth import KeyEntry, KeyRing
from gateway.door import OwnDoor
from gateway.errors import GatewayError, NotFound
from gateway.exchange import AnswerEvent, Caller, Channel, Finish, TextDelta, Usage
from gateway.health import Health
from gateway.listening import Server, settings
from gateway.metrics import Metrics
from gateway.pipeline import InForce, Pipeline
from gateway.records import Records
from gateway.upstream import UpstreamSettings
from guards.panel import Panel
from guards.profiles.known import PROFILES
from guards.verdict import PPM, Guard, Verdict
from policies.load import parse_policy
from policies.model import Policy
from tests.doubles import MemoryLog, ScriptedGuard, ScriptedServer

KEY = "gh_live-test-key-0123456789"
CHAT = "/v1/chat/completions"
POLICY = """
gatehouse: policy/v1
name: live
version: 1.0.0
owner: tests@gatehouse.example
defaults:
  stream: {mode: window, window: 20 characters, holdback: 10 characters, max_wait: 50ms}
  limits: {body: 64KiB, input_chars: 20000, n: 2}
detectors:
  harm: {use: starter_hazard, threshold: 0.5, categories: {S9: 0.2}}
  attack: {use: starter_injection, threshold: 0.5}
rules:
  - id: harm
    on: [user, history, output, reasoning, tool_call]
    when: {harm: {unsafe: true}}
    do: {block: {code: unsafe_content, message: Not allowed.}}
  - {id: attack, on: [user], when: {attack: {unsafe: true}}, do: {block: {code: prompt_attack}}}
  - {id: pass, on: [system, user, history, tool_schema, tool_result, tool_call, output, reasoning], do: allow}
"""


def policy() -> Policy:
    return parse_policy(POLICY.encode(), "live.yaml")


def in_force(slow_s: float = 0.0, **phrases: Mapping[str, Any]) -> InForce:
    """The policy above with guards that know some phrases, `BAD` in any case, and take `slow_s` to judge."""
    known = {"BAD": Verdict(PPM, (("S1", PPM),))}
    guards: dict[str, Guard] = {
        "harm": ScriptedGuard("starter_hazard", known | dict(phrases.get("harm", {})), slow_s),
        "attack": ScriptedGuard("starter_injection", phrases.get("attack")),
    }
    asked = policy()
    profiles = {name: PROFILES[spec.use] for name, spec in asked.detectors.items() if spec.use in PROFILES}
    return InForce(asked, Panel(guards), {name: guard.identity for name, guard in guards.items()}, profiles)


def say(*texts: str) -> list[AnswerEvent | Exception | float]:
    return [*(TextDelta(0, Channel.CONTENT, text) for text in texts), Finish(0, "stop"), Usage({"total_tokens": 3})]


def content(events: list[dict[str, Any]]) -> str:
    """What the events of a stream say to the client."""
    return "".join(c["delta"].get("content") or "" for row in events for c in row.get("choices", ()))


class LiveServer(ScriptedServer):
    """A model server with one model, `m`."""

    settings = UpstreamSettings("http://nowhere.invalid/v1", name="scripted")
    models_error: GatewayError | None = None

    async def models(self) -> Mapping[str, str]:
        if self.models_error is not None:
            raise self.models_error
        return {"m": "served/m"}

    async def served_as(self, model: str) -> str:
        if model not in await self.models():
            raise NotFound("model_not_found", "the model is not served here", "model")
        return f"served/{model}"


class Live:
    """Use as a context."""

    def __init__(
        self,
        *events: Any,
        log: MemoryLog | None = None,
        failed_logins_per_s: float = 100.0,
        **phrases: Mapping[str, Any],
    ) -> None:
        self.log = log or MemoryLog()
        self.server = LiveServer(*(events or say("a fine answer")))
        self.metrics = Metrics()
        self.in_force = in_force(**phrases)
        self.bound: dict[str, InForce] = {}
        """Policies for one tenant alone."""
        records = Records(self.log, self.metrics, failed_logins_per_s)  # type: ignore[arg-type] # a double
        self.health = Health({}, records, self.metrics)
        self.gate = Gate(
            keys=KeyRing([KeyEntry(hashlib.sha256(KEY.encode()).hexdigest(), Caller("k1", "tenant-a", "app-a"))]),
            door=OwnDoor(
                Admission(Concurrency(total=64, per_key=48)),
                records,
                in_force=lambda _caller, _id: self.in_force,
                bound=lambda caller, _exchange: self.bound.get(caller.tenant),
            ),
            pipeline=Pipeline(self.server, b"k" * 32),
            upstream=self.server,  # type: ignore[arg-type] # a double
            records=records,
            health=self.health,
            metrics=self.metrics,
        )
        # asyncio sets TCP_NODELAY on sockets that know their protocol only, as the front's inherited ones do.
        self._listener = socket.socket(fileno=socket.create_server(("127.0.0.1", 0)).detach())
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._uvicorn = Server(settings(make_app(self.gate), 1))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._uvicorn.serve([self._listener])))

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"
        self._listener.close()

    def reset(self) -> Live:
        """As if nothing had been asked yet; only the metrics go on counting."""
        until(lambda: self.metric("gatehouse_in_flight") == 0)
        self.log.records.clear()
        self.log.fail_from, self.log.slow_s = None, 0.0
        self.server.bodies.clear()
        self.server.events, self.server.closed, self.server.models_error = tuple(say("a fine answer")), False, None
        self.in_force = in_force()
        self.health.draining = False
        return self

    @property
    def records(self) -> list[dict[str, Any]]:
        return self.log.records

    def types(self) -> list[str]:
        return [record["type"] for record in self.records]

    def post(self, body: Any, path: str = CHAT, **headers: str) -> httpx.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        return httpx.post(self.url + path, content=data, headers=own | headers, timeout=20, trust_env=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"authorization": f"Bearer {KEY}"} | headers, trust_env=False)

    def chat(self, text: str = "hello", **fields: Any) -> httpx.Response:
        return self.post({"model": "m", "messages": [{"role": "user", "content": text}]} | fields)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def raw(self, data: bytes) -> bytes:
        """Everything that comes back for these bytes until the server has no more to say."""
        with self.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile("rb").read()

    def begin_chat(self, text: str = "hello", **fields: Any) -> socket.socket:
        """A connection with a whole request sent and nothing read."""
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]} | fields).encode()
        sock = self.connect()
        sock.sendall(head(len(body)) + body)
        return sock

    def metric(self, name: str) -> float:
        return float(self.metrics.registry.get_sample_value(name) or 0)


def head(length: int, path: str = CHAT, extra: bytes = b"") -> bytes:
    """Request line and fields of a POST with a key that is ours."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEY}\r\ncontent-length: {length}\r\n".encode()
        + extra
        + b"\r\n"
    )


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that happens on the server's thread."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("the condition did not come true in time")
