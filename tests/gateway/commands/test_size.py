"""`gatehouse size` is the engine's answer, asked in a process of its own."""

from __future__ import annotations

import json

import pytest

from gateway.cli import main


def test_the_engine_answers(capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["--model", "scout", "--gpu", "h200", "--precision", "int4", "--context", "131072", "--sequences", "2"]
    assert main(["size", *asked, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["context"], told["sequences"]) == (131072, 2)
    assert [plan["precision"] for plan in told["plans"]] == ["int4"]


def test_its_exit_status_and_its_refusals_are_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["size", "--model", "maverick", "--gpu", "h100"]) == 1
    assert main(["size", "--model", "-", "--gpu", "h100"]) == 2
    assert main(["size", "--model", "scout", "--gpu", "h100", "--precision", "int3"]) == 2
    assert "int3" in capfd.readouterr().err
