"""A signed policy for some callers alone: activated, rolled back, tried and reloaded by its name; the others' stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Gateway, serving, start, wait_until
from tests.e2e.signing import OPERATOR, key_of, people, run, signed
from tests.e2e.test_bundles import STRICTER, records
from tests.gateway.bundles.making import POLICY

RELOADS = 15
EVERYBODYS = POLICY.replace(b"name: house", b"name: everybody").replace(b"forbidden", b"nowhere")


@pytest.fixture
def gateway(tmp_path: Path, scripted: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Gateway]:
    more = people(tmp_path, capsys)
    first = signed(tmp_path, POLICY, 1)
    assert run("policy", "cosign", first, *key_of(tmp_path, "bob")) == 0, "to come back in place of a stricter one"
    first.rename(tmp_path / "house.bundle")
    (tmp_path / "everybody.yaml").write_bytes(EVERYBODYS)
    more += "policies: [{name: own, policy: {bundle: house.bundle}, tenant: demo}]\n"
    with serving(tmp_path, policy="everybody.yaml", engine=f"{{url: '{scripted}/v1'}}", more=more) as gateway:
        yield gateway


def test_the_life_of_a_policy_for_one_tenant(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--config", gateway.config, "--key-file", tmp_path / "operator.key")

    def asked(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = run("policy", *arguments, *there)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    assert gateway.chat("forbidden").status_code == 400, "the binding's policy decides, not the one for everybody"
    status, said = asked("active")
    assert (status, said.splitlines()[0]) == (0, "in force: everybody 2026.11.1")
    assert said.splitlines()[-1] == "bound as own: house 2026.11.1, for tenant demo"
    status, said = asked("active", "--binding", "own", "--json")
    digest = json.loads(said)["bundle"]["digest"]
    front = Path(f"/proc/{gateway.child('gateway.front')}/cmdline").read_text().split("\0")
    assert f"--tested={digest}" in front, "tested once, by whoever starts the front"

    second = signed(tmp_path, STRICTER, 2)
    assert asked("activate", second)[1] == "gatehouse: policy_not_signed: " + (
        "the policy of this gateway is a file: change that and reload\n"
    )
    assert asked("activate", second, "--binding", "nobody")[1].startswith("gatehouse: unknown_binding: ")
    status, said = asked("activate", second, "--binding", "own", "--trial", "100%", "--hours", "1")
    assert (status, "on trial: house" in said) == (0, True)
    assert gateway.chat("banned").status_code == 400, "by the candidate"
    assert asked("rollback", "--trial", "--binding", "own")[0] == 0
    assert gateway.chat("banned").status_code == 200
    for elsewhere in (("--binding", "-"), ("--binding", "playground"), ("--origin", "e2e/2")):
        other = signed(tmp_path, STRICTER, 3, *elsewhere)
        assert run("policy", "cosign", other, *key_of(tmp_path, "bob")) == 0
        assert "bundle_elsewhere" in asked("activate", other, "--binding", "own")[1], elsewhere
    third = signed(tmp_path, STRICTER.replace(b"banned", b"barred"), 3, "--binding", "own", "--origin", "e2e/1")
    status, said = asked("activate", third, "--binding", "own")
    assert said.splitlines()[0] == "in force for own: house 2026.11.1"
    assert gateway.chat("barred").status_code == 400
    assert "bundle_older" in asked("activate", second, "--binding", "own")[1]
    assert asked("rollback", "--binding", "own")[0] == 0
    assert gateway.chat("barred").status_code == 200

    signed(tmp_path, STRICTER, 4).rename(tmp_path / "house.bundle")
    wait_until(lambda: gateway.chat("banned").status_code == 400)
    with httpx.Client(timeout=20, headers={"authorization": f"Bearer {OPERATOR}"}, base_url=gateway.admin) as operator:
        for _ in range(RELOADS):
            assert operator.post("/admin/policy/reload", json={"binding": "own"}).json()["binding"] == "own"
        exposition = operator.get("/metrics").text
    assert 'gatehouse_policy_reloads_total{binding="own",outcome="loaded"}' in exposition
    loads = records(gateway, "policy.load")
    assert [one["policy"]["name"] for one in loads if "binding" not in one] == ["everybody"]
    assert {one["binding"] for one in records(gateway, "policy.rollback")} == {"own"}
    assert {one["binding"] for one in records(gateway, "policy.reject")} == {"own"}
    state = json.loads((gateway.audit_dir.parent / "bindings" / "own" / "bundles" / "state.json").read_text())
    assert state["highest"] == 4
    (tmp_path / "house.bundle").write_bytes(b"half a bundle")
    assert gateway.stop() == 0
    again = start(tmp_path, gateway.config)
    try:
        again.wait_ready()
        assert again.chat("banned").status_code == 400, "its last good one is in force after a restart"
    finally:
        again.stop()
