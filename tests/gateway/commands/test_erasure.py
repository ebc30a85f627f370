"""`gatehouse audit erase | hold | retention | subject`, against an admin listener with a store behind it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import cli
from gateway.audit.note import parse_vkey
from gateway.content.consent import Consent
from tests.gateway.admin.test_client import configuration
from tests.gateway.content.opened import CANARY, ORIGIN
from tests.gateway.live_admin import PAUL
from tests.gateway.live_content import LiveContent

Run = Callable[..., int]
WHY = ("--reason", "asked to by letter")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveContent]:
    with LiveContent(tmp_path) as live:
        yield live


@pytest.fixture
def run(live: LiveContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", PAUL)
    file = str(configuration(tmp_path, live.admin.port))
    return lambda *words: cli.main(["audit", *words, "--config", file])


def test_hold_then_erase_then_release_then_erase(
    run: Run, live: LiveContent, capsys: pytest.CaptureFixture[str]
) -> None:
    token = live.tokens["alice"]
    assert run("hold", "set", "--request", "r1", "--case", "C-1", *WHY, "--json") == 0
    hold = json.loads(capsys.readouterr().out)["hold"]
    assert run("erase", "--subject", token, *WHY) == 2
    told = capsys.readouterr().err
    assert "legal_hold" in told
    assert hold["id"] in told
    assert run("hold", "list") == 0
    assert capsys.readouterr().out == f"{hold['id']}  request r1  case C-1: asked to by letter\n"
    assert run("hold", "release", hold["id"], *WHY) == 0
    assert run("erase", "--subject", token, *WHY) == 0
    assert capsys.readouterr().out.splitlines() == [f"hold {hold['id']} is released", "4 blobs were erased"]


def test_a_class_can_be_held_and_a_request_erased(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hold", "set", "--class", "hipaa-6y", "--case", "C-1", *WHY) == 0
    assert run("erase", "--request", "r4", *WHY) == 0
    assert run("erase", "--request", "r4", *WHY) == 2
    assert "content_not_found" in capsys.readouterr().err
    assert run("retention", "prune", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"erased": 0}


def test_a_person_is_found_by_a_name_that_is_in_no_argument(
    run: Run, live: LiveContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "name").write_text("alice\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("bob"))
    assert run("subject", "find", "--tenant", "tenant-a", "--name-file", str(tmp_path / "name")) == 0
    assert run("subject", "find", "--tenant", "tenant-a", "--name-file", "-") == 0
    assert capsys.readouterr().out.splitlines() == [live.tokens["alice"], live.tokens["bob"]]


def test_an_export_is_a_new_file_for_its_owner_only(run: Run, live: LiveContent, tmp_path: Path) -> None:
    words = ("subject", "export", live.tokens["bob"], "--out", str(tmp_path / "bob.jsonl"), "--case", "C-1", *WHY)
    assert run(*words) == 0
    assert (tmp_path / "bob.jsonl").stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in (tmp_path / "bob.jsonl").read_text().splitlines()]
    assert [row["content"]["req"] for row in rows] == ["r3", "r3"]
    assert CANARY in json.dumps(rows)
    assert run(*words) == 2, "it is not written over"


@pytest.mark.parametrize(
    "words", [("erase", *WHY), ("erase", "--subject", "a", "--request", "b", *WHY), ("hold", "set")]
)
def test_what_is_meant_must_be_said(run: Run, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        run(*words)


def test_where_two_people_are_needed_one_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", PAUL)
    people = {}
    for who in ("alice", "bob"):
        assert cli.main(["approver-key", str(tmp_path / f"{who}.key"), "--name", who]) == 0
        people[who] = parse_vkey(capsys.readouterr().out.split(": ")[1].strip())
    with LiveContent(tmp_path, Consent(ORIGIN, frozenset({"erase", "release"}), people)) as live:
        file = str(configuration(tmp_path, live.admin.port))
        held = live.post("holds", {"request": "r4", "case": "C-1", "reason": "court"})["hold"]["id"]
        for order in (["hold", "release", held], ["erase", "--request", "r4"]):
            command = ["audit", *order, *WHY, "--config", file]
            assert cli.main(command) == 2
            assert "approval_missing" in capsys.readouterr().err
            statement = tmp_path / f"{order[0]}.statement"
            assert cli.main([*command, "--statement", str(statement)]) == 0
            for who in people:
                key = ["--key", str(tmp_path / f"{who}.key"), "--name", who]
                assert cli.main(["approve", str(statement), *key]) == 0
            approvals = [word for who in people for word in ("--approval", f"{statement}.{who}")]
            assert cli.main([*command, *approvals[:2]]) == 2
            assert cli.main([*command, *approvals]) == 0
        done = [record for record in live.records if record["type"] in ("hold.release", "content.erase")]
    assert [record["approved_by"] for record in done] == [["alice", "bob"]] * 3
