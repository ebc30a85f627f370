"""The life of the process: how it ends, what it refuses to start with, and that nothing of it stays behind."""

from __future__ import annotations

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.server import main
from tests.engine import tiny
from tests.engine.host_process import HostProcess


def test_logs_hold_no_text_and_sigterm_ends_with_status_0(models: list[dict[str, str]], tmp_path: Path) -> None:
    """Who still waits then is told so."""
    process = HostProcess(tmp_path, models[:1])
    endless = {"model": "chat", "prompt": [[20, 21]] * 16, "n": 8, "max_tokens": 1000, "ignore_eos": True}
    try:
        process.wait_until(200)
        message = {"role": "user", "content": "xyzzy plugh"}
        process.post("/v1/chat/completions", model="chat", messages=[message], max_tokens=4)
        with ThreadPoolExecutor(1) as caller:
            told = caller.submit(process.post, "/v1/completions", **endless)
            while not process.pending():
                time.sleep(0.05)
            process.process.send_signal(signal.SIGTERM)
            late = told.result(20)
        status, errors = process.ended()
    finally:
        process.close()

    assert (late.status_code, late.json()["error"]["code"], status) == (503, "draining", 0)
    assert "xyzzy" not in errors
    assert all(json.loads(line)["event"] for line in errors.splitlines())
    assert not process.socket.exists()


def test_the_end_of_stdin_ends_the_host(models: list[dict[str, str]], tmp_path: Path) -> None:
    """kill -9 of a supervisor closes the pipe; no orphan may stay, not even one that is still loading.

    Who read its log may be gone with it, and a line that cannot be written must not keep it alive.
    """
    process = HostProcess(tmp_path, models[:1])
    try:
        process.wait_until(503)
        assert process.process.stdin is not None
        assert process.process.stderr is not None
        process.process.stderr.close()
        process.process.stdin.close()
        assert process.process.wait(10) == 0
    finally:
        process.process.stdin = process.process.stderr = None
        process.close()


def test_a_killed_host_is_replaced_on_the_same_socket(models: list[dict[str, str]], tmp_path: Path) -> None:
    first = HostProcess(tmp_path, models[:1])
    try:
        first.wait_until(503)
    finally:
        first.close()
    assert first.socket.exists()

    second = HostProcess(tmp_path, models[:1])
    try:
        assert second.wait_until(200).status_code == 200
        with pytest.raises(SystemExit):
            main(["--socket", str(second.socket)])
        assert main(["--socket", str(second.socket), "--models", json.dumps(models), "--ignore-stdin"]) == 2
    finally:
        second.close()


def corrupt(directory: Path) -> None:
    path = directory / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def remove(directory: Path) -> None:
    (directory / "model.safetensors").unlink()


def pickle_in_disguise(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"\x80\x04K\x01.")
    entries = json.loads((directory / "manifest.json").read_text())
    import hashlib

    raw = (directory / "model.safetensors").read_bytes()
    entries["files"]["model.safetensors"] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    (directory / "manifest.json").write_text(json.dumps(entries))


def unlist(directory: Path) -> None:
    (directory / "extra.txt").write_text("x")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (corrupt, "file_corrupt"),
        (remove, "file_missing"),
        (pickle_in_disguise, "weights_unsafe"),
        (unlist, "file_unlisted"),
    ],
)
def test_a_damaged_directory_ends_with_status_2_and_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: Any, code: str
) -> None:
    directory = tmp_path / "m"
    directory.mkdir()
    tiny.byte_pairs(directory)
    (directory / "config.json").write_text("{}")
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"w": zeros(64)}, directory / "model.safetensors")
    tiny.sealed(directory)
    damage(directory)
    process = HostProcess(tmp_path, [{"name": "m", "path": str(directory), "task": "generate"}])
    try:
        status, errors = process.ended()
    finally:
        process.close()

    assert status == 2
    (line,) = errors.splitlines()
    assert json.loads(line)["code"] == code


def test_a_file_in_the_place_of_the_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "host.sock"
    path.write_text("mine")
    models = json.dumps([{"name": "m", "path": str(tmp_path), "task": "generate"}])

    assert main(["--socket", str(path), "--models", models, "--ignore-stdin"]) == 2
    assert path.read_text() == "mine"


@pytest.mark.parametrize("models", ["", "{}", "[]", '[{"name": "a"}]', '[{"name":"a","path":".","task":"paint"}]'])
def test_wrong_models_are_wrong_usage(tmp_path: Path, models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", str(tmp_path / "s"), "--models", models]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "usage"


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = json.dumps([{"name": "m", "path": str(tmp_path), "task": "generate"}])
    assert main(["--socket", "/" + "x" * 120, "--models", models]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "socket_path"


def test_the_socket_takes_connections_before_torch_is_there(models: list[dict[str, str]], tmp_path: Path) -> None:
    process = HostProcess(tmp_path, models)
    try:
        end = time.monotonic() + 10
        while not process.socket.exists() and time.monotonic() < end:
            time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(process.socket))
        assert process.client.get("/health").status_code == 503
    finally:
        process.close()
