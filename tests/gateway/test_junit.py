"""What CI reads: one suite for a file, one case for a test, and well-formed whatever a message holds."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.cli import main
from gateway.junit import Result, Suite, junit

POLICY = """\
gatehouse: policy/v1
name: small
version: "1"
detectors: {creds: {use: secrets}}
rules:
  - {id: keys, on: [user], when: {creds: {count: {gte: 1}}}, do: {block: {code: secret}}}
  - {id: pass, on: [user, output], do: allow}
tests:
  - {name: nothing, send: {messages: [{user: hi}]}, expect: {action: allow}}
  - {name: a <wrong> one, send: {messages: [{user: zanzibar}]}, expect: {action: block, code: secret}}
"""


def test_counts_failures_and_errors() -> None:
    suites = [
        Suite("a.yaml", "a", [Result("good", 3, 0.5), Result("bad", 4, 0.25, ("one", "two"))], covered=70),
        Suite("b.yaml", "b", [Result("loads", errors=("b.yaml:1:1: not YAML",))]),
    ]
    top = ElementTree.fromstring(junit(suites))
    assert top.attrib == {"tests": "3", "failures": "1", "errors": "1"}
    first, second = top
    assert (first.get("tests"), first.get("failures"), first.get("time")) == ("2", "1", "0.750000")
    assert [one.attrib for one in first.iter("property")] == [{"name": "coverage_percent", "value": "70"}]
    failure = first.find("testcase/failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("one", "one\ntwo")
    error = second.find("testcase/error")
    assert error is not None
    assert error.get("message") == "b.yaml:1:1: not YAML"


def test_what_xml_cannot_hold_is_replaced() -> None:
    top = ElementTree.fromstring(junit([Suite("a", "a", [Result("\x00<&\ufffe\u00e9", failures=("\x1b[31m",))])]))
    case = top.find("testsuite/testcase")
    assert case is not None
    assert case.get("name") == "\ufffd<&\ufffd\u00e9"


def test_the_command_writes_it_and_no_text_of_a_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, bad, out = tmp_path / "small.yaml", tmp_path / "bad.yaml", tmp_path / "junit.xml"
    policy.write_text(POLICY)
    bad.write_text("gatehouse: policy/v9\n")
    assert main(["policy", "test", "--require-tests", "--junit", str(out), str(policy), str(bad)]) == 1
    assert "zanzibar" not in out.read_text()
    top = ElementTree.parse(out).getroot()
    assert top.attrib == {"tests": "4", "failures": "2", "errors": "1"}
    cases = {case.get("name"): [(one.tag, one.get("message")) for one in case] for case in top.iter("testcase")}
    assert cases["nothing"] == []
    assert cases["a <wrong> one"] == [("failure", "`action` is `allow`, expected `block`")]
    assert cases["rule keys"] == [("failure", "rule `keys` decides in no test")]
    assert [kind for kind, _ in cases["loads"]] == ["error"]
    assert main(["policy", "test", "--junit", str(tmp_path), str(policy)]) == 2
    assert "cannot be written: is a directory" in capsys.readouterr().out
