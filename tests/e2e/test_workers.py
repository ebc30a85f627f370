"""Several processes behind one socket: whoever of them dies, nothing leaves without its record, and the log proves it.

One gateway serves all of this file. Each test leaves it as it found it: ready, with every process alive.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
import pytest

from tests.e2e.conftest import CHAT, KEY, Gateway, children, serving, wait_until
from tests.e2e.signing import OPERATOR, operators

LEAD, WORKER = "gateway.front", "gateway.worker.process"
POLICY = """\
gatehouse: policy/v1
name: {name}
version: 1.0.0
defaults: {{stream: {{mode: window, window: 64 characters, holdback: 48 characters, max_wait: 500ms}}}}
detectors: {{both: {{use: regex, pattern: both}}, pay: {{use: regex, pattern: 'pay ACME'}}}}
rules:
  - {{id: {name}, on: [user], when: {{both: {{count: {{gte: 1}}}}}}, do: {{block: {{code: {name}}}}}}}
  - id: payment
    on: [user]
    when: {{pay: {{count: {{gte: 1}}}}}}
    do: {{review: {{queue: payments, quorum: 1, hold: request, timeout: 1m, on_timeout: block}}}}
  - {{id: pass, on: [system, user, tool_result, tool_call, output, reasoning], do: allow}}
"""
SLOW = "slowly: say: " + f"{'word' * 12} " * 200
T = TypeVar("T")
HEADERS = {"authorization": f"Bearer {KEY}"}
MOST, TRIES = 24, 16
KILLS = int(os.environ.get("GATEHOUSE_LEAD_KILLS", "1"))


@pytest.fixture(scope="module")
def gateway(scripted: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("workers")
    (directory / "policy.yaml").write_text(POLICY.format(name="one"))
    more = f"workers: 2\nconcurrency: {{total: 64, per_key: {MOST}}}\n{operators()}"
    policy, engine = "{file: policy.yaml, watch: false}", f"{{url: '{scripted}/v1'}}"
    with serving(directory, policy=policy, engine=engine, more=more) as gateway:
        yield gateway
    last = records(gateway)[-1]
    assert last["type"] == "gateway.stop"


@pytest.fixture(autouse=True)
def calm(gateway: Gateway) -> None:
    """Every test begins when what the one before asked for has ended: clients that hung up, too."""
    wait_until(lambda: "gatehouse_in_flight 0.0" in metrics(gateway))


def metrics(gateway: Gateway) -> str:
    with client() as own:
        return own.get(gateway.admin + "/metrics", timeout=5).text


def records(gateway: Gateway, word: str = "") -> list[dict[str, Any]]:
    """Those whose line holds a word: few of thousands need be parsed."""
    segments = sorted((gateway.audit_dir / "seg").glob("*.jsonl"))
    lines = [line for path in segments for line in path.read_bytes().split(b"\n") if line and word.encode() in line]
    return [orjson.loads(line) for line in lines if line.endswith(b"}")]


def of(gateway: Gateway, request: str) -> list[dict[str, Any]]:
    return [record for record in records(gateway, request) if record.get("req") == request]


def client() -> httpx.Client:
    """One without trust in anybody, which takes a hundredth of the time to make."""
    return httpx.Client(timeout=30, headers=HEADERS, verify=False)


def post(gateway: Gateway, text: str) -> httpx.Response:
    """Over a connection of its own."""
    with client() as own:
        return own.post(gateway.api + CHAT, json=body(text))


@contextmanager
def slow_stream(gateway: Gateway, text: str = SLOW) -> Iterator[httpx.Response]:
    """One that has begun."""
    with client() as own, own.stream("POST", gateway.api + CHAT, json=body(text, stream=True)) as response:
        assert response.status_code == 200
        yield response


def body(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}]} | fields


@contextmanager
def stream(gateway: Gateway, *, of_worker: bool) -> Iterator[httpx.Response]:
    """A stream that has begun, answered by a worker or by the lead: asked for until it is the one that was wanted."""
    with ExitStack() as others:
        for _ in range(TRIES):
            response = others.enter_context(slow_stream(gateway))
            if ("worker" in of(gateway, response.headers["x-request-id"])[0]) == of_worker:
                yield response
                return
    raise AssertionError("every stream was answered by the same process")


def ask(gateway: Gateway, stop: threading.Event, text: str) -> list[httpx.Response]:
    """Answers until told to stop, over a new connection every few requests so that all processes get some."""
    answers: list[httpx.Response] = []
    while not stop.is_set():
        with client() as own:
            for _ in range(5):
                try:
                    answers.append(own.post(gateway.api + CHAT, json=body(text)))
                    time.sleep(0.05 if answers[-1].status_code == 503 else 0)
                except httpx.HTTPError:
                    time.sleep(0.01)
                    break
    return answers


@contextmanager
def load(gateway: Gateway, text: str, found: list[httpx.Response], clients: int = 6) -> Iterator[None]:
    """Requests meanwhile; `found` has the answers afterwards."""
    stop = threading.Event()
    with ThreadPoolExecutor(clients) as pool:
        runs: list[Future[list[httpx.Response]]] = [pool.submit(ask, gateway, stop, text) for _ in range(clients)]
        try:
            yield
        finally:
            stop.set()
        for run in runs:
            found += run.result()


def admin(gateway: Gateway, method: str, path: str, **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {OPERATOR}"}
    with client() as own:
        return own.request(method, gateway.admin + path, json=fields if method == "POST" else None, headers=headers)


def ready(gateway: Gateway) -> httpx.Response:
    with client() as own:
        return own.get(gateway.admin + "/readyz", timeout=2)


def becomes(gateway: Gateway, status: int) -> None:
    wait_until(lambda: ready(gateway).status_code == status)


def test_every_process_answers_and_metrics_are_those_of_all(gateway: Gateway) -> None:
    found: list[httpx.Response] = []
    with load(gateway, "one two", found):
        time.sleep(1)
    assert {answer.status_code for answer in found} == {200}
    mine = {answer.headers["x-request-id"] for answer in found}
    seen = Counter("worker" in record for record in records(gateway) if record.get("req") in mine)
    assert min(seen[True], seen[False]) > 5, seen
    for address in (gateway.api, gateway.admin):
        text = httpx.get(address + "/metrics").text
        [line] = [line for line in text.splitlines() if line.startswith("gatehouse_exchanges_total{")]
        assert float(line.split()[-1]) == len(found)
        assert "gatehouse_ready 1.0" in text
    checked = gateway.command(
        "audit", "check-receipt", found[-1].headers["gatehouse-receipt"], "--config", str(gateway.config)
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_keys_limit_holds_over_all_processes(gateway: Gateway) -> None:
    with ExitStack() as open_streams:
        for _ in range(MOST):
            open_streams.enter_context(slow_stream(gateway))
        answers = [post(gateway, "one more").status_code for _ in range(6)]
        assert answers == [429] * 6
    wait_until(lambda: post(gateway, "one more").status_code == 200)


def reviews(gateway: Gateway) -> list[dict[str, Any]]:
    """What waits for people."""
    rows: list[dict[str, Any]] = admin(gateway, "GET", "/admin/reviews").json()["reviews"]
    return rows


def held(gateway: Gateway, pool: ThreadPoolExecutor, ask: Callable[[Gateway, str], T]) -> list[Future[T]]:
    """Exchanges that wait for people, some in each process."""
    waiting: list[Future[T]] = []
    for number in range(1, TRIES + 1):
        waiting.append(pool.submit(ask, gateway, "pay ACME 900"))
        wait_until(lambda number=number: len(reviews(gateway)) == number)
        if len({"worker" in of(gateway, row["request"])[0] for row in reviews(gateway)}) == 2:
            return waiting
    raise AssertionError("every exchange was answered by the same process")


def test_what_a_worker_holds_is_listed_and_decided_at_the_admin_listener(gateway: Gateway) -> None:
    with ThreadPoolExecutor(TRIES) as pool:
        waiting = held(gateway, pool, post)
        for row in reviews(gateway):
            assert "pay ACME 900" in admin(gateway, "GET", f"/admin/reviews/{row['id']}").text
            assert admin(gateway, "POST", f"/admin/reviews/{row['id']}/vote", vote="approve").status_code == 200
        assert [run.result().status_code for run in waiting] == [200] * len(waiting)


def test_a_reload_is_a_reload_everywhere(gateway: Gateway) -> None:
    """From its answer on, and no exchange is decided by two policies."""
    found: list[httpx.Response] = []
    path = gateway.directory / "policy.yaml"
    with load(gateway, "both", found, clients=3):
        for number in range(16):
            name = ("two", "one")[number % 2]
            path.write_text(POLICY.format(name=name))
            assert admin(gateway, "POST", "/admin/policy/reload").json()["policy"]["name"] == name
            for _ in range(3):  # each over a new connection
                assert post(gateway, "both").json()["error"]["gatehouse"]["code"] == name
    assert len(found) > 20
    digests: dict[str, set[str]] = {}
    for record in records(gateway, '"request.'):
        if "policy" in record:
            digests.setdefault(record["req"], set()).add(record["policy"]["compiled_digest"])
    assert {len(own) for own in digests.values()} == {1}
    for answer in found:
        said = answer.json()["error"]["gatehouse"]
        assert said["code"] == said["policy"]["name"] == said["rules"][0]


def test_a_killed_worker_has_its_exchanges_ended_and_its_places_given_back(gateway: Gateway) -> None:
    starts = len(records(gateway, '"gateway.start"'))
    with ThreadPoolExecutor(TRIES) as pool, stream(gateway, of_worker=True) as response:
        waiting = held(gateway, pool, outcome)
        os.kill(gateway.child(WORKER), signal.SIGKILL)
        request = response.headers["x-request-id"]
        wait_until(lambda: of(gateway, request)[-1]["type"] == "response.orphan")
        wait_until(lambda: len(reviews(gateway)) < len(waiting))
        becomes(gateway, 503)
        assert any(said.startswith("worker_") for said in ready(gateway).json()["checks"].values())
        for row in reviews(gateway):
            admin(gateway, "POST", f"/admin/reviews/{row['id']}/vote", vote="deny")
        assert set(run.result() for run in waiting) <= {400, 0}
    becomes(gateway, 200)
    kept = records(gateway, '"review.close"')
    abandoned = [r for r in kept if r["type"] == "review.close" and r["review"]["outcome"] == "abandoned"]
    assert abandoned
    assert all("worker" in record for record in abandoned)
    assert len(records(gateway, '"gateway.start"')) == starts, "the log went on"
    with ExitStack() as open_streams:
        for _ in range(MOST):
            open_streams.enter_context(slow_stream(gateway))  # its places are free


def outcome(gateway: Gateway, text: str) -> int:
    """Status of an answer; 0 where the connection was lost."""
    try:
        return post(gateway, text).status_code
    except httpx.HTTPError:
        return 0


@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_killed_lead_loses_no_record_and_workers_let_nobody_in_meanwhile(gateway: Gateway) -> None:
    found: list[httpx.Response] = []
    seen: list[dict[str, Any]] = []
    with load(gateway, "one two three", found, clients=4), stream(gateway, of_worker=True) as response:
        for number in range(KILLS):
            time.sleep(0.1 + (number * 0.37) % 0.5)
            os.kill(gateway.child(LEAD), signal.SIGKILL)
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                with client() as own:
                    seen.append(own.get(gateway.api + "/readyz", timeout=2).json())
                time.sleep(0.01)
            gateway.wait_ready()
        time.sleep(0.3)
        text = "".join(response.iter_text())
    assert "event: error" in text or '"error"' in text
    assert "[DONE]" not in text
    assert any(said["checks"]["audit"] == "audit_unavailable" for said in seen)
    assert {answer.status_code for answer in found} == {200, 503}
    assert {answer.json()["error"]["code"] for answer in found if answer.status_code == 503} == {"audit_unavailable"}
    kept = records(gateway, '"response.complete"')
    complete = {record["req"] for record in kept if record["type"] == "response.complete"}
    assert {answer.headers["x-request-id"] for answer in found if answer.status_code == 200} <= complete
    orphan = of(gateway, response.headers["x-request-id"])[-1]
    assert orphan["type"] == "response.orphan"
    received = "".join(piece["choices"][0]["delta"].get("content") or "" for piece in events(text))
    assert 0 < len(received) <= orphan["stream"]["released_max"], "nothing left without its record"
    assert found[-1].status_code == 200


def events(text: str) -> list[dict[str, Any]]:
    """Pieces of the answer in a stream."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return [piece for piece in map(orjson.loads, data) if piece.get("choices")]


def test_a_stop_lets_every_process_end_what_it_has_begun(gateway: Gateway) -> None:
    """The last of this file: the gateway is gone afterwards."""
    pids, by_worker = children(gateway.process.pid), set[bool]()
    with ExitStack() as opened:
        streams: list[httpx.Response] = []
        while by_worker != {True, False}:
            streams.append(opened.enter_context(slow_stream(gateway, "slowly: say: " + f"{'word' * 12} " * 20)))
            by_worker.add("worker" in of(gateway, streams[-1].headers["x-request-id"])[0])
            assert len(streams) < TRIES
        assert gateway.stop() == 0
        assert all("[DONE]" in "".join(response.iter_text()) for response in streams)
    ends = {of(gateway, response.headers["x-request-id"])[-1]["type"] for response in streams}
    assert ends == {"response.complete"}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert records(gateway)[-1]["type"] == "gateway.stop"
