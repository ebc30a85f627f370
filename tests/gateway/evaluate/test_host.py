"""The model host of an evaluation: there when its models are loaded, gone whatever ended the evaluation."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.host import model_host
from gateway.http_client import HOST_URL
from tests.doubles import eventually

HOST = """
import json, os, signal, socket, sys
plan, arguments = json.load(open(sys.argv[1])), sys.argv[2:]
told = {"pid": os.getpid(), "argv": arguments, "env": dict(os.environ)}
with open(sys.argv[1] + ".new", "w") as file: json.dump(told, file)
os.rename(sys.argv[1] + ".new", sys.argv[1] + ".told")
if "says" in plan: print(plan["says"], file=sys.stderr)
if "status" in plan: sys.exit(plan["status"])
listener = socket.socket(socket.AF_UNIX); listener.bind(arguments[arguments.index("--socket") + 1]); listener.listen()
if plan.get("stubborn"): signal.signal(signal.SIGTERM, signal.SIG_IGN)
answers = plan.get("answers", [200])
while True:
    peer, _ = listener.accept(); peer.recv(65536)
    status = answers.pop(0) if len(answers) > 1 else answers[0]
    head = ["HTTP/1.1 " + str(status) + " x", "content-length: 0", "connection: close", "", ""]
    peer.sendall("\\r\\n".join(head).encode()); peer.close()
"""


def program(tmp_path: Path, **plan: object) -> tuple[str, ...]:
    (tmp_path / "plan").write_text(json.dumps(plan))
    (tmp_path / "host.py").write_text(HOST)
    return sys.executable, str(tmp_path / "host.py"), str(tmp_path / "plan")


def told(tmp_path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((tmp_path / "plan.told").read_text())
    return found


def is_gone(tmp_path: Path) -> bool:
    try:
        os.kill(int(str(told(tmp_path)["pid"])), 0)
    except ProcessLookupError:
        return True
    return False


async def test_the_client_comes_when_the_models_are_loaded(tmp_path: Path) -> None:
    models = [{"name": "m", "path": "/x", "task": "classify"}]
    async with model_host(models, 2, program(tmp_path, answers=[503, 503, 200])) as client:
        assert (await client.get(HOST_URL + "/health")).status_code == 200
        found = told(tmp_path)
    assert is_gone(tmp_path)
    argv = found["argv"]
    assert isinstance(argv, list)
    assert json.loads(argv[argv.index("--models") + 1]) == models
    assert argv[argv.index("--threads") + 1] == "2"
    assert not (tmp_path / argv[argv.index("--socket") + 1]).exists()
    assert found["env"]["HF_HUB_OFFLINE"] == "1"  # type: ignore[index]


async def test_a_host_that_gives_up_is_quoted(tmp_path: Path) -> None:
    says = json.dumps({"code": "weights_digest", "message": "the weights are not those of the manifest"})
    with pytest.raises(EvaluationError, match="ended with status 2: the weights are not those of the manifest"):
        async with model_host([], 1, program(tmp_path, says=says, status=2)):
            pass


async def test_a_host_that_crashes_is_quoted_as_far_as_it_can_be_printed(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"status 1: Error\?\[31m"):
        async with model_host([], 1, program(tmp_path, says="Trace\nError\x1b[31m", status=1)):
            pass


async def test_a_program_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be started: No such file"):
        async with model_host([], 1, (str(tmp_path / "none"),)):
            pass


async def test_the_host_ends_when_the_evaluation_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="of ours"):
        async with model_host([], 1, program(tmp_path)):
            raise RuntimeError("of ours")
    assert is_gone(tmp_path)


async def test_the_host_ends_when_the_evaluation_is_told_to_stop_while_it_loads(tmp_path: Path) -> None:
    async def wait() -> None:
        async with model_host([], 1, program(tmp_path, answers=[503])):
            raise AssertionError("it never gets ready")

    task = asyncio.create_task(wait())
    await eventually((tmp_path / "plan.told").exists)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(tmp_path)
