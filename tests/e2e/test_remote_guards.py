"""Guards on servers: asked with their own key, seen by /readyz, cited by the server's name, and an error when away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Gateway, serving, start, wait_until, write_config
from tests.gateway.model_files import classifier

POLICY = """\
gatehouse: policy/v1
name: remote-guards
version: 1.0.0
owner: tests@gatehouse.example
defaults: {stream: {mode: buffer}}
detectors:
  inject: {use: far_injection, threshold: 0.5, timeout: 20s, memory: off}
  harm: {use: clinic_filter, threshold: 0.5, timeout: 20s}
rules:
  - {id: injection, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: prompt_attack}}}
  - {id: harm, on: [user, output], when: {harm: {category: [violence]}}, do: {block: {code: unsafe_content}}}
  - {id: pass, on: [system, user, history, output, reasoning], do: allow}
"""
GUARDS = """\
guards:
  far_injection: {path: small, profile: starter_injection, url: "URL", model: org/injection, api_key_file: key}
  clinic_filter: {profile: moderation_api, url: "URL", model: filter-2, categories: [hate, violence]}
"""
KEY = "key-of-the-guard-server"


class Handler(BaseHTTPRequestHandler):
    """vLLM's `/classify` and a moderation service, in one: text with `hit` is violent, nothing is an attack."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True  # so that a server that ends has no connection left to answer on
        self._say({"data": [{"id": "org/injection"}, {"id": "filter-2"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.calls.append((self.path, self.headers.get("authorization"), body))
        if self.server.is_broken:
            self._say({"error": "broken"}, 500)
        elif self.path == "/classify":
            rows = [
                {"index": i, "label": "benign", "probs": [0.8, 0.2], "num_classes": 2}
                for i in range(len(body["input"]))
            ]
            self._say({"object": "list", "model": body["model"], "data": rows})
        elif self.path == "/v1/moderations":
            scores = [{"hate": 0.01, "violence": 0.9 if "hit" in text else 0.02} for text in body["input"]]
            self._say({"results": [{"flagged": False, "category_scores": one} for one in scores]})
        else:
            self._say({}, 404)

    def _say(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    """Keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[tuple[str, str | None, dict[str, Any]]] = []
        self.is_broken = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def gateway(server: Server, scripted: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """No model host is started: rules and servers do all the work."""
    directory = tmp_path_factory.mktemp("remote")
    classifier(directory / "small")
    (directory / "small" / "model.safetensors").unlink()
    (directory / "key").write_text(f"{KEY}\n")
    (directory / "policy.yaml").write_text(POLICY)
    guards, engine = GUARDS.replace("URL", server.url), f"{{url: '{scripted}/v1'}}"
    with serving(directory, policy="policy.yaml", engine=engine, more=guards) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(server: Server) -> None:
    server.calls.clear()
    server.is_broken = False


def records(gateway: Gateway) -> list[dict[str, Any]]:
    paths = sorted(Path(gateway.audit_dir).rglob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_servers_judge_and_the_record_names_their_models(gateway: Gateway, server: Server) -> None:
    assert gateway.chat("how is the weather").status_code == 200
    blocked = gateway.chat("hit him")
    assert (blocked.status_code, blocked.json()["error"]["gatehouse"]["code"]) == (400, "unsafe_content")
    keys = {path: key for path, key, _ in server.calls}
    assert keys == {"/classify": f"Bearer {KEY}", "/v1/moderations": None}, "no server sees another one's key"
    admitted = next(record for record in records(gateway) if record["type"] == "request.admit")
    guards = {guard["name"]: guard for guard in admitted["guards"]}
    assert (guards["inject"]["use"], guards["inject"]["profile"]) == ("far_injection", "starter_injection")
    assert guards["inject"]["model"] == "org/injection"
    assert guards["inject"]["weights_digest"].startswith("sha256:"), "of the tokenizer that made the ids"
    assert (guards["harm"]["profile"], guards["harm"]["model"]) == ("clinic_filter", "filter-2")


def test_a_server_that_answers_nonsense_stops_the_exchange(gateway: Gateway, server: Server) -> None:
    server.is_broken = True
    answer = gateway.chat("a text that nobody judged before")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "guard_unavailable")


def test_readiness_says_which_guards_are_on_servers(gateway: Gateway) -> None:
    said = httpx.get(gateway.admin + "/readyz").json()
    assert {"guard_far_injection", "guard_clinic_filter"} <= set(json.dumps(said).replace('"', " ").split())


def test_moderations_show_the_services_own_categories(gateway: Gateway) -> None:
    [row] = gateway.post("/v1/moderations", {"input": "hit him"}).json()["results"]
    assert row["flagged"]
    assert row["gatehouse"]["hazards"]["violence"] == {"name": "violence", "flagged": True, "score": 0.9}
    assert not row["gatehouse"]["prompt_attack"]["flagged"]


def test_a_server_that_goes_away_makes_the_gateway_unready(scripted: str, tmp_path: Path) -> None:
    server = Server()
    (tmp_path / "policy.yaml").write_text(
        POLICY.replace("  inject: {use: far_injection, threshold: 0.5, timeout: 20s, memory: off}\n", "").replace(
            "  - {id: injection, on: [user], when: {inject: {unsafe: true}}, do: {block: {code: prompt_attack}}}\n", ""
        )
    )
    config = write_config(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}")
    config.write_text(config.read_text() + "guards:\n" + GUARDS.splitlines()[2].replace("URL", server.url) + "\n")
    gateway = start(tmp_path, config)
    try:
        gateway.wait_ready()
        server.shutdown()
        server.server_close()
        wait_until(lambda: httpx.get(gateway.admin + "/readyz", timeout=1).status_code == 503)
        assert gateway.chat("hello").json()["error"]["code"] == "guard_unavailable"
        assert "unreachable" in httpx.get(gateway.admin + "/readyz").text
    finally:
        gateway.stop()
    assert "guard.down" in {record["type"] for record in records(gateway)}
    refused = next(record for record in records(gateway) if record["type"] == "request.refuse")
    assert refused["decision"]["errors"] == [{"detector": "harm", "kind": "unavailable"}], "not slow: away"
