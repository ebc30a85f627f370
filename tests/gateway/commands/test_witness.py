"""The witness as an operator starts it: a process of its own, with and without TLS."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.audit.anchors.errors import AnchorError
from gateway.audit.anchors.settings import WitnessAt
from gateway.audit.anchors.witness import WitnessAnchor
from gateway.audit.cosignature import WitnessKey, parse_witness_key
from gateway.cli import main
from tests.gateway.audit.harness import small_log
from tests.gateway.witness.live_witness import grow


def words(path: Path, address: str, *more: object) -> list[str]:
    trust = path / "keys" / "test-one-audit.vkey"
    own = ["--state", path / "w", "--key", path / "w.pem", "--name", "bank/w2", "--log", trust]
    return ["witness", "--listen", address, *map(str, [*own, *more])]


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def running(path: Path, address: str, *more: object) -> Iterator[WitnessKey]:
    """The command in a process; its key, once it answers."""
    argv = [sys.executable, "-m", "gateway.cli", *words(path, address, *more)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            key = parse_witness_key(process.stdout.readline().removeprefix("witness  "))
            host, port = address.split(":")
            until = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection((host, int(port))).close()
                    break
                except OSError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            yield key
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    small_log(tmp_path)
    return tmp_path


def test_it_cosigns_and_remembers_over_a_restart(path: Path) -> None:
    address = free_address()
    with running(path, address) as key, closing(WitnessAnchor(WitnessAt(f"http://{address}", key), path / "log")) as at:
        first = grow(path)
        at.put(first)
    assert parse_witness_key((path / "w.vkey").read_text()) == key
    with (
        running(path, address) as again,
        closing(WitnessAnchor(WitnessAt(f"http://{address}", key), path / "log")) as at,
    ):
        assert again == key
        assert at.put(grow(path))["cosignatures"]


def test_over_tls_with_a_certificate_of_ones_own(path: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path / "tls.key"), "-out", str(path / "tls.pem")]
    subprocess.run(made, check=True, capture_output=True)
    address = free_address()
    with running(path, address, "--tls-cert", path / "tls.pem", "--tls-key", path / "tls.key") as key:
        head, url = grow(path), f"https://{address}"
        with closing(WitnessAnchor(WitnessAt(url, key, ca=path / "tls.pem"), path / "log")) as trusting:
            assert trusting.put(head)["cosignatures"]
        with closing(WitnessAnchor(WitnessAt(url, key), path / "log")) as other, pytest.raises(AnchorError) as refused:
            other.put(head)
        assert refused.value.code == "anchor_unreachable"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--listen", "nowhere"], "not an address"),
        (["--name", "two words"], "no spaces"),
        (["--log", "missing.vkey"], "cannot be read"),
        (["--log", "twice"], "another key for the log"),
    ],
)
def test_what_it_cannot_work_with(path: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    trust = str(path / "keys" / "test-one-audit.vkey")
    if more == ["--log", "twice"]:
        more = ["--log", trust, trust]
    assert main([*words(path, "127.0.0.1:1"), *more]) == 2
    assert told in capsys.readouterr().err
