"""Signed policies in a real gateway: a second person for what is weaker, the way back, and changes of the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Gateway, serving, start, wait_until
from tests.e2e.signing import key_of, people, run, signed
from tests.gateway.bundles.making import POLICY

STRICTER = POLICY.replace(b"rules:\n", b"  more: {use: regex, pattern: 'banned'}\nrules:\n").replace(
    b"  - {id: pass",
    b"  - {id: no-more, on: [user], when: {more: {count: {gte: 1}}}, do: {block: {code: words}}}\n  - {id: pass",
)


def records(gateway: Gateway, kind: str) -> list[dict[str, Any]]:
    lines = [
        line for file in sorted((gateway.audit_dir / "seg").glob("*.jsonl")) for line in file.read_text().splitlines()
    ]
    return [record for record in map(json.loads, lines) if record["type"] == kind]


@pytest.fixture
def gateway(tmp_path: Path, scripted: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Gateway]:
    """A gateway that runs on a bundle, and the keys of two approvers and an operator."""
    more = people(tmp_path, capsys)
    signed(tmp_path, POLICY, 1).rename(tmp_path / "house.bundle")
    with serving(tmp_path, policy="{bundle: house.bundle}", engine=f"{{url: '{scripted}/v1'}}", more=more) as gateway:
        yield gateway


def test_a_weaker_policy_waits_for_a_second_person_and_can_be_rolled_back(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--config", gateway.config, "--key-file", tmp_path / "operator.key", "--json")

    def asked(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = run("policy", *arguments, *there)
        printed = capsys.readouterr()
        return status, printed.out or printed.err

    status, said = asked("active")
    assert (status, json.loads(said)["bundle"]["counter"]) == (0, 1)
    status, said = asked("activate", signed(tmp_path, STRICTER, 2))
    assert (status, json.loads(said)["bundle"]["signers"]) == (0, ["alice"])
    third = signed(tmp_path, POLICY, 3)
    status, said = asked("activate", third)
    assert status == 2
    assert "bundle_unsigned: 1 of 2 signatures of approvers by alice" in said
    assert run("policy", "cosign", third, *key_of(tmp_path, "bob")) == 0
    status, said = asked("activate", third)
    assert (status, json.loads(said)["bundle"]["weaker"]) == (0, True)
    status, said = asked("rollback")
    assert (status, json.loads(said)["bundle"]["counter"]) == (0, 2)
    loads = records(gateway, "policy.load")
    assert [record["bundle"]["counter"] for record in loads] == [1, 2, 3, 2]
    assert [record["bundle"]["rollback"] for record in loads] == [False, False, False, True]
    assert loads[-1]["actor"]["sub"] == "oda"
    [refused] = records(gateway, "policy.reject")
    assert refused["err"]["code"] == "bundle_unsigned"


def test_a_new_file_comes_into_force_and_a_bad_one_does_not(gateway: Gateway, tmp_path: Path) -> None:
    assert gateway.chat("banned").status_code == 200
    signed(tmp_path, STRICTER, 2).rename(tmp_path / "house.bundle")
    wait_until(lambda: len(records(gateway, "policy.load")) == 2)
    assert gateway.chat("banned").status_code == 400
    (tmp_path / "house.bundle").write_bytes(b"half a bundle")
    wait_until(lambda: len(records(gateway, "policy.reject")) == 1)
    assert gateway.chat("banned").status_code == 400
    assert gateway.stop() == 0
    again = start(tmp_path, gateway.config)
    try:
        again.wait_ready()
        assert again.chat("banned").status_code == 400, "the last good one is in force after a restart"
    finally:
        again.stop()
