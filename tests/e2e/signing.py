"""A site that takes its policy from bundles: two approvers, an operator, and what they sign. Not a test itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway import cli

OPERATOR = "gh_policy-operator-of-this-test-01"


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def key_of(folder: Path, name: str) -> tuple[object, ...]:
    return ("--key", folder / f"{name}.key", "--name", name)


def signed(folder: Path, policy: bytes, counter: int, *more: str) -> Path:
    """A bundle that alice signed."""
    (folder / "house.yaml").write_bytes(policy)
    out = folder / f"{counter}.bundle"
    file = folder / "house.yaml"
    assert run("policy", "sign", file, "--counter", counter, *key_of(folder, "alice"), "--out", out, *more) == 0
    return out


def people(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Keys of alice, bob and the operator in the folder, and the part of a configuration that lists them."""
    for name in ("alice", "bob"):
        assert run("approver-key", folder / f"{name}.key", "--name", name) == 0
    lines = "".join(f"{line}\n" for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    (folder / "operator.key").write_text(OPERATOR)
    return f"approvers:\n{lines}{operators()}"


def operators() -> str:
    """The operator alone."""
    return f"operators: [{{name: oda, sha256: {hashlib.sha256(OPERATOR.encode()).hexdigest()}, roles: [operator]}}]\n"
