"""`gatehouse content`, against an admin listener with a store behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import cli
from gateway.audit.record import canonical
from gateway.commands.content import _shown
from gateway.entries import keyed_digest, tenant_key
from tests.gateway.admin.test_client import configuration
from tests.gateway.content.opened import CANARY
from tests.gateway.live_admin import VERA
from tests.gateway.live_content import LiveContent

Run = Callable[..., int]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveContent]:
    with LiveContent(tmp_path) as live:
        yield live


@pytest.fixture
def run(live: LiveContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", VERA)
    file = str(configuration(tmp_path, live.admin.port))
    return lambda *words: cli.main(["content", *words, "--config", file])


def test_list_and_read(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "r1") == 0
    listed = capsys.readouterr().out
    assert listed.count("default, until 20") == 2
    assert CANARY not in listed
    assert run("read", "r1", "--reason", "complaint", "--case", "C-1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "--- r1-request  request",
        f"[user /m] {CANARY} r1",
        "--- r1-response  response",
        f"[released 0] answer {CANARY}",
    ]
    assert run("read", "r1-request", "--reason", "complaint", "--case", "C-1", "--json") == 0
    [blob] = json.loads(capsys.readouterr().out)["blobs"]
    assert blob["value"]["parts"][0]["text"] == f"{CANARY} r1"


def test_what_is_not_there_or_does_not_open_is_told_by_the_status(
    run: Run, live: LiveContent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list", "r99") == 1
    assert run("read", "r99", "--reason", "x", "--case", "C-1") == 2
    assert "content_not_found" in capsys.readouterr().err
    next((tmp_path / "state" / "content" / "default").iterdir()).unlink()
    assert run("read", "r1", "--reason", "x", "--case", "C-1") == 1
    assert "content_lost" in capsys.readouterr().out


def test_a_reason_and_a_case_are_needed(run: Run) -> None:
    with pytest.raises(SystemExit):
        run("read", "r1")


def test_text_of_a_user_does_not_steer_the_terminal() -> None:
    assert _shown("a\x1b[2Jb\nc\u202e") == "a\ufffd[2Jb\nc\ufffd"


def test_an_exchange_is_found_by_its_text(run: Run, live: LiveContent, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("an answer")
    words = ("find", "--tenant", "tenant-a", "--text-file", str(tmp_path / "text"))
    assert run(*words) == 1
    digest = keyed_digest(tenant_key(b"k" * 32, "tenant-a"), b"an answer")
    line = canonical({"req": "r7", "digest": {"out_hmac": digest}})
    (live.log / "seg" / f"{0:016}.jsonl").write_bytes(line + b"\n")
    assert run(*words) == 0
