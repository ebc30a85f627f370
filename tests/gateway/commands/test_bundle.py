"""A policy is signed where the keys are, and nobody signs what would not come into force."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import cli
from gateway.bundles.bundle import open_bundle
from tests.gateway.bundles.making import POLICY


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A policy, and keys of two approvers with the configuration that lists them."""
    (tmp_path / "house.yaml").write_bytes(POLICY)
    for name in ("alice", "bob"):
        assert run("approver-key", tmp_path / f"{name}.key", "--name", name) == 0
    people = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    (tmp_path / "approvers.yaml").write_text("approvers:\n" + "\n".join(people) + "\n")
    return tmp_path


def sign(folder: Path, counter: int, name: str = "alice", *more: object) -> int:
    key = ("--key", folder / f"{name}.key", "--name", name)
    return run("policy", "sign", folder / "house.yaml", "--counter", counter, *key, *more)


def test_a_bundle_says_what_was_signed_and_takes_further_signatures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sign(folder, 7, "alice", "--days", 30) == 0
    assert "counter 7\n" in capsys.readouterr().out
    bundle = folder / "house.bundle"
    assert run("policy", "cosign", bundle, "--key", folder / "bob.key", "--name", "bob") == 0
    printed = capsys.readouterr().out
    assert "counter 7\n" in printed
    assert f"signed as bob: {bundle}" in printed
    assert open_bundle(bundle.read_bytes()).contents == {"policy.yaml": POLICY}
    assert run("policy", "bundle", bundle, "--policy") == 0
    assert capsys.readouterr().out == POLICY.decode()


def test_a_bundle_may_be_for_some_places_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ("--origin", "bank/gate-2", "--origin", "bank/gate-1", "--binding", "own", "--binding", "-")
    assert sign(folder, 7, "alice", *only) == 0
    manifest = open_bundle((folder / "house.bundle").read_bytes()).manifest
    assert (manifest.origins, manifest.bindings) == (("bank/gate-1", "bank/gate-2"), ("-", "own"))
    assert "\norigin bank/gate-1\norigin bank/gate-2\nbinding -\nbinding own\n" in capsys.readouterr().out
    for wrong in (("--origin", "no such"), ("--binding", "No")):
        with pytest.raises(SystemExit):
            sign(folder, 7, "alice", *wrong)
        assert "expected the" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policy", "status", "told"),
    [
        (b"gatehouse: policy/v1\n", 1, "policy needs `detectors` and `rules`"),
        (POLICY.replace(b"action: block, rule: no-words", b"action: allow"), 1, "1 tests fail"),
    ],
)
def test_nobody_signs_a_policy_that_would_not_come_into_force(
    folder: Path, capsys: pytest.CaptureFixture[str], policy: bytes, status: int, told: str
) -> None:
    (folder / "house.yaml").write_bytes(policy)
    assert sign(folder, 1) == status
    assert told in capsys.readouterr().err
    assert not (folder / "house.bundle").exists()


def test_what_is_no_bundle_is_told_by_its_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.bundle").write_bytes(b"not a bundle")
    assert run("policy", "bundle", folder / "x.bundle") == 2
    assert "bundle_malformed" in capsys.readouterr().err
