"""An explanation asked for on the command line, of a request and of a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.audit.harness import opened, put_test_key
from tests.gateway.test_replay import LIBRARY, scored

DEFAULT = str(LIBRARY / "default.yaml")
REQUEST = {"model": "scout", "messages": [{"role": "user", "content": "an unprinted text"}]}


@pytest.fixture
def request_file(tmp_path: Path) -> list[str]:
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    return ["policy", "explain", DEFAULT, "--request", str(tmp_path / "request.json")]


def test_a_request_with_given_scores(
    tmp_path: Path, request_file: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores.json").write_text('{"inject": 0.6, "harm": 0.1}')
    words = [*request_file, "--scores", str(tmp_path / "scores.json")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("block prompt_attack, status 400, by injection-user\n")
    assert "inject score >= 0.545 [0.6]   <- decides" in out
    assert "unprinted" not in out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decision"]["rules"] == ["injection-user"]


def test_without_models_it_says_what_it_hangs_on(request_file: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*request_file, "--no-models"]) == 0
    assert capsys.readouterr().out.startswith("undecided: it hangs on harm, inject, not asked\n")


def test_a_request_that_is_refused_before(
    tmp_path: Path, request_file: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "request.json").write_text('{"model": "scout"}')
    assert main([*request_file, "--no-models"]) == 1
    assert capsys.readouterr().out.startswith("refused before it is judged: ")


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    put_test_key(tmp_path)
    log = opened(tmp_path)
    for ppm in (1_000, 600_000):
        log.writer.write([{key: value for key, value in scored(ppm).items() if key != "seq"}])
    log.close()
    return ["policy", "explain", DEFAULT, "--dir", str(tmp_path / "log"), "--record"]


def test_a_record_is_explained_from_its_scores(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*log, "2"]) == 0
    out = capsys.readouterr().out
    assert "record 2, request.admit, request r\nrecorded: block prompt_attack, by injection-user; policy " in out
    assert "by this file: block prompt_attack, status 400, by injection-user" in out
    assert "inject score >= 0.545 [0.6]   <- decides" in out
    assert main([*log, "r", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["decision"]["action"] for one in (first, second)] == ["allow", "block"]


def test_what_is_not_there_is_status_2(
    tmp_path: Path, log: list[str], request_file: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*log, "99"]) == 2
    assert "has no decision with the number or request id `99`" in capsys.readouterr().err
    (tmp_path / "scores.json").write_text('{"nobody": 0.6}')
    assert main([*request_file, "--scores", str(tmp_path / "scores.json")]) == 2
    assert "`nobody` is no detector of policy `default`" in capsys.readouterr().err
    assert main(["policy", "explain", DEFAULT, "--request", str(tmp_path / "none.json"), "--no-models"]) == 2
    assert "none.json`: No such file" in capsys.readouterr().err
