"""The two routes, over a socket, as any C2SP client meets them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from gateway.witness.app import LONGEST, make_witness_app
from tests.gateway.audit.harness import small_log
from tests.gateway.witness.live_witness import Served, ask, grow, served, witness_of


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    small_log(tmp_path, version=1)
    with served(tmp_path) as witness:
        yield witness.url


def test_it_lives(url: str) -> None:
    assert httpx.get(url + "/livez").status_code == 200


def test_a_conflict_has_the_size_and_its_media_type(url: str, tmp_path: Path) -> None:
    head = grow(tmp_path)
    ask(url, tmp_path, head)
    answer = httpx.post(url + "/add-checkpoint", content=b"old 0\n\n" + head.note)
    assert (answer.status_code, answer.headers["content-type"]) == (409, "text/x.tlog.size")
    assert answer.text == f"{head.head.size}\n"


def test_bodies_and_headers_are_bounded_and_checked(url: str) -> None:
    assert httpx.post(url + "/add-checkpoint", content=b"x" * (LONGEST + 1)).status_code == 413
    assert httpx.post(url + "/add-checkpoint", content=b"old").status_code == 400
    bad = {"Gatehouse-Epoch-Certificate": "!"}
    assert httpx.post(url + "/add-checkpoint", content=b"old 0\n\nx\n", headers=bad).status_code == 400
    assert httpx.get(url + "/add-checkpoint").status_code == 405


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    small_log(tmp_path)

    def drip() -> Iterator[bytes]:
        yield b"old 0\n"
        time.sleep(0.5)
        yield b"\n"

    witness = witness_of(tmp_path)
    with Served(make_witness_app(witness, body_s=0.1)) as served:
        assert httpx.post(served.url + "/add-checkpoint", content=drip()).status_code == 408


@pytest.mark.parametrize("name", ["0" * 64, "short", "..%2f..%2fetc"])
def test_a_log_that_was_never_seen_has_no_head_here(url: str, name: str) -> None:
    assert httpx.get(f"{url}/{name}/checkpoint").status_code == 404


def test_a_state_that_cannot_be_used_is_500_and_no_signature(url: str, tmp_path: Path) -> None:
    head = grow(tmp_path)
    ask(url, tmp_path, head)
    name = sha256(b"test/one/audit").hexdigest()
    (tmp_path / "seen" / f"{name}.seen").write_bytes(b"?")
    answer = httpx.post(url + "/add-checkpoint", content=f"old {head.head.size}\n\n".encode() + head.note)
    assert answer.status_code == 500
    assert "—" not in answer.text
