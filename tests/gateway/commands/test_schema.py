"""The schema as an editor gets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from policies.schema import DIALECT


def test_it_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["$schema"] == DIALECT
    assert "guard_starter_injection" in told["$defs"]


def test_guards_of_a_configuration_are_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gatehouse.yaml"
    config.write_text(
        "gatehouse: config/v1\nguards:\n"
        "  house: {path: anywhere, profile: label_classifier, labels: [ok, bad], flagged: [bad]}\n"
    )
    assert main(["policy", "schema", "--config", str(config)]) == 0
    assert "guard_house" in json.loads(capsys.readouterr().out)["$defs"]
    assert main(["policy", "schema", "--config", str(tmp_path / "none.yaml")]) == 2
