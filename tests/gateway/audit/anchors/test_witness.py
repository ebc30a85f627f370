"""The log and its witness over a real socket: what is cosigned, what is refused, and what a crash in between leaves."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.audit.anchors.errors import AnchorError
from gateway.audit.epochs import load_chain
from tests.gateway.audit.harness import small_log, trust_in
from tests.gateway.witness.live_witness import COSIGNER, Served, anchor_at, ask, grow, served

DYING = Path(__file__).parents[2] / "witness" / "dying_witness.py"


@pytest.fixture(params=[1, 2], ids=["heads by the log key", "heads by epoch keys"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    small_log(tmp_path, version=request.param)
    return tmp_path


def test_each_head_is_cosigned_with_a_proof_that_it_continues_the_last(path: Path) -> None:
    with served(path) as witness, anchor_at(witness.url, path) as anchor:
        for exchanges in (1, 0, 5, 300):
            head = grow(path, exchanges)
            proof = anchor.put(head)
            [line] = proof["cosignatures"]  # type: ignore[misc]
            assert COSIGNER.key.seen_at(str(line), head.head.text()) == pytest.approx(time.time(), abs=5)
        again = anchor.put(head)
        assert again["note"] == head.note.decode()
        name = sha256(b"test/one/audit").hexdigest()
        kept = httpx.get(f"{witness.url}/{name}/checkpoint").text
        assert kept.startswith(head.note.decode())
        assert COSIGNER.key.seen_at(kept.split("\n")[-2], head.head.text())
        assert load_chain(path / "log", trust_in(path)).open_head(kept.encode()).head == head.head


def test_a_client_that_does_not_know_what_the_witness_saw_is_told(path: Path) -> None:
    with served(path) as witness:
        ask(witness.url, path, grow(path, 3))
        assert ask(witness.url, path, grow(path, 3))["cosignatures"]


def test_a_log_that_was_set_back_is_an_alarm(path: Path) -> None:
    with served(path) as witness, anchor_at(witness.url, path) as anchor:
        anchor.put(grow(path))
        shutil.copytree(path / "log", path / "older")
        newer = grow(path, 5)
        anchor.put(newer)
        shutil.rmtree(path / "log")
        (path / "older").rename(path / "log")
        with pytest.raises(AnchorError) as refused:
            ask(witness.url, path, grow(path, 0))
        assert (refused.value.code, refused.value.is_alarm) == ("anchor_ahead", True)
        assert str(newer.head.size) in str(refused.value)


def test_another_history_of_the_same_log_is_never_cosigned(path: Path) -> None:
    """Root has the keys, sets the log back and writes another past, longer than the one the witness saw."""
    shutil.copytree(path / "log", path / "older")
    with served(path) as witness, anchor_at(witness.url, path) as anchor:
        seen = grow(path, 2, "what happened")
        anchor.put(seen)
        shutil.rmtree(path / "log")
        (path / "older").rename(path / "log")
        forged = grow(path, 4, "what did not")
        assert forged.head.size > seen.head.size
        with pytest.raises(AnchorError) as refused:
            anchor.put(forged)
        assert (refused.value.code, refused.value.is_alarm) == ("anchor_fork", True)


@pytest.mark.parametrize("moment", ["before the rename", "before the sync", "before the answer"])
def test_a_witness_killed_at_its_worst_moment_has_signed_nothing_twice(path: Path, moment: str) -> None:
    """kill -9 around the sync. Whatever it had seen by then, the same head is cosigned afterwards and no other."""
    head = grow(path, 2)
    trust = path / "keys" / "test-one-audit.vkey"
    with subprocess.Popen(
        [sys.executable, str(DYING), str(path / "seen"), str(trust), moment], stdout=subprocess.PIPE, text=True
    ) as dying:
        assert dying.stdout is not None
        url = dying.stdout.readline().strip()
        with pytest.raises(AnchorError) as lost:
            ask(url, path, head)
        assert dying.wait(10) == -signal.SIGKILL
    assert lost.value.code == "anchor_unreachable"
    with served(path) as witness, anchor_at(witness.url, path) as anchor:
        assert anchor.put(head)["cosignatures"]


def test_a_witness_that_is_not_there_is_said_so(path: Path) -> None:
    with pytest.raises(AnchorError) as refused:
        ask("http://127.0.0.1:9", path, grow(path))
    assert refused.value.code == "anchor_unreachable"


def test_without_tiles_there_is_no_proof_yet(path: Path) -> None:
    with served(path) as witness, anchor_at(witness.url, path) as anchor:
        anchor.put(grow(path))
        head = grow(path)
        shutil.rmtree(path / "log" / "tile")
        with pytest.raises(AnchorError) as refused:
            anchor.put(head)
        assert refused.value.code == "anchor_not_ready"


class Scripted:
    """A server that answers what it is told, whatever it is asked."""

    def __init__(self, *answers: Response) -> None:
        self.answers, self.asked = list(answers), list[str]()

    async def answer(self, request: Request) -> Response:
        self.asked.append((await request.body()).split(b"\n")[0].decode())
        return self.answers.pop(0)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/w/add-checkpoint", self.answer, methods=["POST"])])


def refused_by(path: Path, *answers: Response) -> AnchorError:
    with Served(Scripted(*answers).app()) as server, pytest.raises(AnchorError) as refused:
        ask(server.url + "/w/", path, grow(path))
    return refused.value


SIZE = {"content-type": "text/x.tlog.size"}


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([Response("", 403)], "anchor_refused"),
        ([Response("", 404)], "anchor_refused"),
        ([Response("", 500)], "anchor_refused"),
        ([Response("", 302, {"location": "/elsewhere"})], "anchor_refused"),
        ([Response("7\n", 409)], "anchor_refused"),
        ([Response("007\n", 409, SIZE)], "anchor_refused"),
        ([Response("7\n", 409, SIZE)] * 3, "anchor_refused"),
        ([Response("99999\n", 409, SIZE)], "anchor_ahead"),
        ([Response("", 422)], "anchor_fork"),
        ([Response("", 200)], "anchor_unverified"),
        ([Response("— bank/witness-2 AAAA\n", 200)], "anchor_unverified"),
        ([Response(b"\xff\xfe\n", 200)], "anchor_unverified"),
        ([Response("x" * 200_000, 200)], "anchor_unreachable"),
    ],
)
def test_nothing_but_a_cosignature_counts(path: Path, answers: list[Response], code: str) -> None:
    assert refused_by(path, *answers).code == code


@pytest.mark.parametrize("forgery", ["another key", "another head", "the future"])
def test_a_cosignature_that_does_not_hold_does_not_count(path: Path, forgery: str) -> None:
    head = grow(path)
    text = "another\n" if forgery == "another head" else head.head.text()
    line = COSIGNER.line(text, int(time.time()) + (86_400 if forgery == "the future" else 0))
    if forgery == "another key":
        at = 30
        assert b64decode(line.split(" ")[2])
        line = line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :]
    with Served(Scripted(Response(line, 200)).app()) as server, pytest.raises(AnchorError) as refused:
        ask(server.url + "/w", path, head)
    assert refused.value.code == "anchor_unverified"


def test_lines_of_other_keys_are_skipped(path: Path) -> None:
    head = grow(path)
    good = COSIGNER.line(head.head.text(), int(time.time()))
    both = "— somebody/else AAAAAAAA\n" + good
    with Served(Scripted(Response(both, 200)).app()) as server:
        proof = ask(server.url + "/w", path, head)
    assert proof["cosignatures"] == [good.rstrip("\n")]


def test_the_known_size_is_asked_for_first(path: Path) -> None:
    script = Scripted(Response("", 500))
    with Served(script.app()) as server, pytest.raises(AnchorError):
        ask(server.url + "/w", path, grow(path), known=7)
    assert script.asked == ["old 7"]
