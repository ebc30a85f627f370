"""Trials in a real gateway: a good candidate comes into force by itself, a bad one is gone, no exchange sees two."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import CHAT, KEY, ROOT, Gateway, running, start, wait_until, write_config
from tests.e2e.signing import key_of, people, run, signed
from tests.e2e.test_bundles import STRICTER as ONE_RULE_MORE
from tests.e2e.test_bundles import records
from tests.e2e.test_reloads import check_records
from tests.gateway.bundles.making import POLICY

STRICTER = ONE_RULE_MORE.replace(b"2026.11.1", b"2026.11.2")
LOOSER = (
    POLICY.replace(b"{gte: 1}", b"{gte: 2}")
    .replace(b"2026.11.1", b"2026.11.3")
    .replace(b"user: forbidden}", b"user: forbidden forbidden}")
)
"""The same question, another conclusion."""
MORE_TENANTS = 9
Asked = Callable[..., tuple[int, Any]]


@pytest.fixture
def gateway(tmp_path: Path, scripted: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Gateway]:
    """A gateway that runs on a bundle, for ten tenants."""
    more = people(tmp_path, capsys)
    signed(tmp_path, POLICY, 1).rename(tmp_path / "house.bundle")
    config = write_config(tmp_path, policy="{bundle: house.bundle}", engine=f"{{url: '{scripted}/v1'}}")
    keys = "".join(
        f", {{id: k{number}, tenant: tenant-{number}, sha256: {hashlib.sha256(key(number).encode()).hexdigest()}}}"
        for number in range(MORE_TENANTS)
    )
    text = config.read_text().replace("}]\n", "}" + keys + "]\n", 1)
    config.write_text(text + more)
    with running(tmp_path, config) as gateway:
        yield gateway


def key(number: int) -> str:
    return f"gh_key-of-tenant-number-{number}-of-this-test"


@pytest.fixture
def asked(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    """A policy command at the gateway: exit status, and what it printed."""

    def asked(*arguments: object) -> tuple[int, Any]:
        capsys.readouterr()
        there = ("--config", gateway.config, "--key-file", tmp_path / "operator.key", "--json")
        status = run("policy", *arguments, *there)
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if printed.out else printed.err

    return asked


def cosigned(folder: Path, policy: bytes, counter: int) -> Path:
    bundle = signed(folder, policy, counter)
    assert run("policy", "cosign", bundle, *key_of(folder, "bob")) == 0
    return bundle


def test_too_many_flips_withdraw_a_candidate_and_nothing_of_it_remains(
    gateway: Gateway, tmp_path: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = cosigned(tmp_path, LOOSER, 2)
    status, said = asked("activate", candidate, "--trial", "50%", "--by", "exchange", "--hours", 1)
    assert (status, said["policy"]["version"], said["trial"]["policy"]["version"]) == (0, "2026.11.1", "2026.11.3")
    status, told = asked("activate", candidate, "--trial", "50%")
    assert (status, "trial_running" in told) == (2, True)
    found = Counter(gateway.chat("nothing" if number < 50 else "forbidden").status_code for number in range(60))
    status, said = asked("active")
    assert said["trial"]["exchanges"] == sum(
        record["policy"]["version"] == "2026.11.3" for record in first_records(gateway)
    )
    for _ in range(400):
        found[gateway.chat("forbidden").status_code] += 1
        if records(gateway, "policy.rollback"):
            break
    [withdrawn] = records(gateway, "policy.rollback")
    trial = withdrawn["trial"]
    assert (trial["why"], trial["bundle"]["counter"], withdrawn["policy"]["version"]) == ("flips", 2, "2026.11.1")
    assert trial["exchanges"] == 50
    assert trial["flips"] == sum(kind["n"] for kind in trial["flipped"]) == found[200] - 50
    assert {(kind["was"], kind["now"]) for kind in trial["flipped"]} == {("block words", "allow")}
    assert {gateway.chat("forbidden").status_code for _ in range(20)} == {400}
    status, said = asked("active")
    assert (status, "trial" in said, said["history"]) == (0, False, [])
    assert metric(gateway, 'gatehouse_policy_trials_total{binding="",outcome="flips"}') == 1
    assert "policy_withdrawn" in gateway.log()
    status, told = asked("rollback", "--trial")
    assert (status, "no_trial" in told) == (2, True)
    check_replay(gateway, tmp_path, trial["flips"])
    check_by_the_other_verifier(gateway)


def check_replay(gateway: Gateway, folder: Path, flips: int) -> None:
    """The policy in force, asked of the log, differs where the trial counted a flip, and nowhere else."""
    (folder / "stable.yaml").write_bytes(POLICY)
    done = gateway.command("policy", "replay", "stable.yaml", "--config", str(gateway.config), "--json")
    said = json.loads(done.stdout)
    assert (said["flipped"], said["not_replayed"]) == (flips, {})


def check_by_the_other_verifier(gateway: Gateway) -> None:
    """Decisions by a policy on trial are decisions by a policy whose loading is in the log."""
    assert gateway.stop() == 0
    key = next((gateway.directory / "var" / "keys").glob("*.vkey"))
    program = [sys.executable, str(ROOT / "docs" / "verify.py"), str(gateway.audit_dir), str(key)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def first_records(gateway: Gateway) -> list[dict[str, Any]]:
    """One for each exchange."""
    return records(gateway, "request.admit") + records(gateway, "request.refuse")


def metric(gateway: Gateway, name: str) -> float:
    lines = httpx.get(gateway.admin + "/metrics", timeout=10).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_a_candidate_without_a_flaw_comes_into_force_when_its_time_is_over(
    gateway: Gateway, tmp_path: Path, asked: Asked
) -> None:
    status, said = asked("activate", signed(tmp_path, STRICTER, 2), "--trial", "10%", "--hours", 6 / 3600)
    assert (status, said["trial"]["tenants"], said["trial"]["tenants_of"]) == (0, 1, 10)
    codes = [tenant_chat(gateway, number).status_code for number in range(MORE_TENANTS)]
    codes.append(gateway.chat("banned").status_code)
    assert Counter(codes) == {200: 9, 400: 1}
    drawn = codes.index(400)
    assert tenant_chat(gateway, drawn).status_code == 400, "the same tenant again"
    wait_until(lambda: len(records(gateway, "policy.load")) == 3)
    wait_until(lambda: gateway.chat("banned").status_code == 400)
    first, begun, promoted = records(gateway, "policy.load")
    assert "trial" not in first
    assert [record["trial"]["state"] for record in (begun, promoted)] == ["begun", "promoted"]
    assert begun["policy"] == promoted["policy"]
    assert promoted["trial"]["exchanges"] >= 2
    assert (promoted["trial"]["flips"], promoted["trial"]["unknown"]) == (promoted["trial"]["exchanges"], 0)
    status, said = asked("active")
    assert (said["bundle"]["counter"], "trial" in said, len(said["history"])) == (2, False, 1)
    status, said = asked("rollback")
    assert (status, "1 of 2 signatures" in said) == (2, True), "going back to what is weaker is a change like any other"


def tenant_chat(gateway: Gateway, number: int) -> httpx.Response:
    headers = {"authorization": f"Bearer {key(number) if number < MORE_TENANTS else KEY}"}
    return gateway.post(
        CHAT, {"model": "scripted", "messages": [{"role": "user", "content": "banned"}]}, headers=headers
    )


def test_a_restart_ends_a_trial_and_says_so(gateway: Gateway, tmp_path: Path, asked: Asked) -> None:
    assert asked("activate", signed(tmp_path, STRICTER, 2), "--trial", "100%")[0] == 0
    assert gateway.chat("banned").status_code == 400
    assert gateway.stop() == 0
    again = start(tmp_path, gateway.config)
    try:
        again.wait_ready()
        assert again.chat("banned").status_code == 200
        [ended] = records(again, "policy.rollback")
        assert (ended["trial"]["why"], ended["policy"]["version"]) == ("restart", "2026.11.1")
    finally:
        assert again.stop() == 0
    third = start(tmp_path, gateway.config)
    try:
        third.wait_ready()
        assert len(records(third, "policy.rollback")) == 1, "it is told once"
    finally:
        third.stop()


def test_no_exchange_is_decided_by_two_policies_while_trials_begin_and_end(
    gateway: Gateway, tmp_path: Path, asked: Asked
) -> None:
    """Half of the exchanges by the candidate, streamed ones and refused ones, under load from four threads."""
    candidate, stop, found = signed(tmp_path, STRICTER, 2), threading.Event(), Counter[int]()

    def ask() -> None:
        with httpx.Client(timeout=20, headers={"authorization": f"Bearer {KEY}"}) as client:
            while not stop.is_set():
                for text, stream in (("banned", False), ("nothing", True), ("forbidden", True)):
                    body = {"model": "scripted", "stream": stream, "messages": [{"role": "user", "content": text}]}
                    found[client.post(gateway.api + CHAT, json=body).status_code] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        assert asked("activate", candidate, "--trial", "50%", "--by", "exchange")[0] == 0
        before = sum(found.values())
        wait_until(lambda before=before: sum(found.values()) > before + 20)
        status, said = asked("rollback", "--trial")
        assert (status, "trial" in said) == (0, False)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert found.keys() == {200, 400}
    assert gateway.stop() == 0
    rules = {"2026.11.1": {"no-words"}, "2026.11.2": {"no-words", "no-more"}}
    check_records(gateway, sum(found.values()), lambda policy: rules[policy["version"]])
    assert {record["trial"]["why"] for record in records(gateway, "policy.rollback")} == {"operator"}
    assert len(records(gateway, "policy.rollback")) == 8


def test_what_is_printed_says_whom_the_trial_concerns(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--config", gateway.config, "--key-file", tmp_path / "operator.key")
    bundle = signed(tmp_path, STRICTER, 2)
    capsys.readouterr()
    assert run("policy", "activate", bundle, "--trial", "25%", *there) == 0
    printed = capsys.readouterr().out
    assert "in force: house 2026.11.1\n" in printed
    assert "on trial: house 2026.11.2\n" in printed
    assert "for 25% of tenants (2 of 10) until " in printed
    assert "0 exchanges, 0 compared: 0 flips of at most 1%, 0 errors of at most 1%\n" in printed
    assert run("policy", "activate", bundle, "--hours", "3", *there) == 2
    assert "`--hours` is for a trial" in capsys.readouterr().err
