"""`gatehouse policy coverage`: what no test tries, at its line; a bar for CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main

LIBRARY = Path(__file__).parents[3] / "policies" / "library"
POLICY = """\
gatehouse: policy/v1
name: small
version: "1"
detectors: {creds: {use: secrets}}
rules:
  - id: keys
    on: [user]
    when: {creds: {count: {gte: 1}}}
    do: {block: {code: secret}}
  - {id: trial, mode: shadow, on: [user], when: {app: [staff]}, do: {block: {code: x}}}
  - {id: pass, on: [user, output], do: allow}
tests:
  - {name: nothing, send: {messages: [{user: hi}]}, expect: {action: allow}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(POLICY)
    return file


def test_what_no_test_tries_is_told_at_its_line(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "coverage", str(small)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{small}:6:5: rule `keys` decides in no test",
        f"{small}:8:5: `creds count >= 1` in `when` of rule `keys` is true in no test",
        f"{small}:10:6: rule `trial` in shadow matches in no test",
        f"{small}:10:43: `app is staff` in `when` of rule `trial` is true in no test",
        f"{small}: 42 % covered by 1 tests: 1 of 3 rules decide, 0 of 2 conditions are both true and false",
    ]


def test_a_bar_for_ci(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "coverage", "--min", "42", str(small)]) == 0
    assert main(["policy", "coverage", "--min", "43", str(small)]) == 1
    assert main(["policy", "coverage", "--min", "100", str(LIBRARY)]) == 0
    with pytest.raises(SystemExit):
        main(["policy", "coverage", "--min", "101", str(small)])
    assert "expected a whole number 0 to 100" in capsys.readouterr().err


def test_json(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "coverage", "--json", str(small)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["percent"], said["tried"], said["outcomes"], said["tests"], said["failed_tests"]) == (42, 3, 7, 1, 0)
    assert said["untried_rules"] == [{"rule": "keys", "line": 6}, {"rule": "trial", "line": 10}]
    assert said["conditions"][0] == {
        "rule": "keys",
        "line": 8,
        "in": "when",
        "condition": "creds count >= 1",
        "was_true": False,
        "was_false": True,
    }


def test_tests_that_fail_and_files_that_do_not_load(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_text(POLICY.replace("expect: {action: allow}", "expect: {action: block}"))
    assert main(["policy", "coverage", str(small)]) == 1
    assert "; 1 of the tests failed" in capsys.readouterr().out
    small.write_text("gatehouse: policy/v9\n")
    assert main(["policy", "coverage", str(small)]) == 1
    assert main(["policy", "coverage", str(small.parent / "none.yaml")]) == 2
