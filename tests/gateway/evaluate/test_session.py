"""From the command line's words to a run: what is read, what is started, what is refused before anything starts."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.evaluate.errors import EvaluationError, LinesRefused
from gateway.evaluate.rows import LabelledSet
from gateway.evaluate.session import Asked, evaluate
from policies.errors import FileErrors

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """\
gatehouse: config/v1
listen: {api: '127.0.0.1:1', admin: '127.0.0.1:1'}
keys: [{id: demo, tenant: demo, key: gatehouse-demo-key}]
policy: policy.yaml
engine: {url: 'http://127.0.0.1:9/v1'}
"""
POLICY = """\
gatehouse: policy/v1
name: small
version: 1.0.0
owner: tests@gatehouse.example
detectors: {creds: {use: secrets}, words: {use: regex, pattern: 'burgle'}}
rules:
  - {id: creds, on: [user], when: {creds: {count: {gte: 1}}}, do: {block: {code: secret}}}
  - {id: words, on: [user], when: {words: {count: {gte: 1}}}, do: {block: {code: secret}}}
  - {id: pass, on: [user, output], do: allow}
"""
NO_HOST = (sys.executable, "-c", "raise SystemExit('a model host was started')")


def site(tmp_path: Path, **changed: object) -> Asked:
    """A small configuration and set; a model host that is started ends the evaluation."""
    (tmp_path / "gatehouse.yaml").write_text(CONFIG)
    (tmp_path / "policy.yaml").write_text(POLICY)
    rows = [{"text": "burgle", "label": 1}, {"text": "fine", "label": 0}, {"text": "AKIAIOSFODNN7EXAMPLE", "label": 0}]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values: dict[str, object] = {"set_file": tmp_path / "set.jsonl", "config": tmp_path / "gatehouse.yaml"}
    return Asked(**(values | {"program": NO_HOST} | changed))  # type: ignore[arg-type]


async def test_rules_are_judged_without_a_model_host(tmp_path: Path) -> None:
    run = await evaluate(site(tmp_path, detectors=("words", "creds")))
    assert [subject.name for subject in run.subjects] == ["words", "creds"]
    assert [row.judged["words"].score_ppm for row in run.rows] == [1_000_000, 0, 0]
    assert (run.set_name, run.policy.split()[:2], run.errors) == ("set.jsonl", ["small", "1.0.0"], 0)
    assert run.date.endswith("Z")


async def test_a_guard_named_directly_needs_no_policy(tmp_path: Path) -> None:
    asked = site(tmp_path, uses=("secrets",))
    (tmp_path / "policy.yaml").write_text("is not read\n")
    run = await evaluate(asked)
    assert (run.policy, run.subjects[0].name) == ("", "secrets")


async def test_detectors_of_another_policy_and_guards_named_directly_go_together(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(POLICY.replace("small", "other"))
    run = await evaluate(site(tmp_path, policy=tmp_path / "other.yaml", detectors=("words",), uses=("secrets",)))
    assert [subject.name for subject in run.subjects] == ["words", "secrets"]
    assert run.policy.startswith("other")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, "asks no guard model; name detectors with `--detector`"),
        ({"detectors": ("word",)}, r"did you mean `words`\?"),
        ({"detectors": ("words",), "uses": ("words",)}, "named twice"),
        ({"uses": ("nonsense",)}, "there is no such guard"),
        ({"uses": ("starter_injection",)}, "a model host was started"),
    ],
)
async def test_what_cannot_be_evaluated_is_refused(tmp_path: Path, changed: dict[str, object], problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        await evaluate(site(tmp_path, **changed))


async def test_a_bad_set_is_refused_before_a_host_is_started(tmp_path: Path) -> None:
    asked = site(tmp_path, uses=("starter_injection",))
    asked.set_file.write_text("{}\n")
    with pytest.raises(LinesRefused):
        await evaluate(asked)


async def test_a_set_that_will_not_do_is_refused_before_a_host_is_started(tmp_path: Path) -> None:
    def refuse(labelled: LabelledSet) -> None:
        raise EvaluationError(f"{len(labelled.rows)} will not do")

    with pytest.raises(EvaluationError, match="3 will not do"):
        await evaluate(site(tmp_path, uses=("starter_injection",)), check=refuse)


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    asked = site(tmp_path, detectors=("words",))
    (tmp_path / "policy.yaml").write_text("gatehouse: policy/v9\n")
    with pytest.raises(FileErrors, match=r"policy\.yaml:1:12"):
        await evaluate(asked)
    with pytest.raises(EvaluationError, match=r"none\.yaml` cannot be read: no such file"):
        await evaluate(replace(asked, policy=tmp_path / "none.yaml"))
    with pytest.raises(EvaluationError, match=r"none\.yaml` cannot be read: no such file"):
        await evaluate(replace(asked, config=tmp_path / "none.yaml"))


async def test_a_detector_that_judges_nothing_measures_nothing(tmp_path: Path) -> None:
    """A server that is away: each row is an error, and a page of dashes would look like a report."""
    asked = site(tmp_path, uses=("starter_injection",))
    guards = "guards: {starter_injection: {url: 'http://127.0.0.1:9/v1', model: m}}\n"
    (tmp_path / "gatehouse.yaml").write_text(CONFIG + guards)
    with pytest.raises(EvaluationError, match=r"`starter_injection` judged none of 3 rows: (unavailable|timeout) 3"):
        await evaluate(asked)


class ClassifyServer:
    """A server as vLLM is one: it classifies, names its model and says nothing of weights."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.keys: set[str] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        question = json.loads(await reader.readexactly(length))
        self.asked.append(question)
        self.keys.update(line for line in head.split("\r\n") if line.startswith("authorization"))
        rows = [{"index": n, "probs": [0.25, 0.75], "num_classes": 2} for n, _ in enumerate(question["input"])]
        body = json.dumps({"model": "served", "data": rows}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


async def test_a_guard_on_a_server_is_asked_there_with_its_key(tmp_path: Path) -> None:
    asked, server = site(tmp_path, uses=("starter_injection",)), ClassifyServer()
    (tmp_path / "key").write_text("sk-secret\n")
    async with await asyncio.start_server(server.answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        told = f"{{url: 'http://127.0.0.1:{port}/v1', model: served, api_key_file: key}}"
        (tmp_path / "gatehouse.yaml").write_text(f"{CONFIG}guards: {{starter_injection: {told}}}\n")
        run = await evaluate(asked)
    assert {row.judged["starter_injection"].score_ppm for row in run.rows} == {750_000}
    assert {question["model"] for question in server.asked} == {"served"}
    assert server.keys == {"authorization: bearer sk-secret"}
    assert run.errors == 0
