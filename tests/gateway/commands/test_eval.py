"""`gatehouse policy eval`: status, places and JSON; what needs a model is run by one, or said to be left out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gateway.cli import main
from policies.start import LIBRARY


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    status = main(["policy", "eval", *map(str, args)])
    return status, capsys.readouterr().out


def with_bank(folder: Path, **changes: str) -> Path:
    text = (LIBRARY / "bank.yaml").read_text()
    for name in ("restricted-securities.txt", "card-numbers.jsonl"):
        (folder / name).write_bytes((LIBRARY / name).read_bytes())
    for old, new in changes.items():
        text = text.replace(f"{old}: ", f"{old}: {new} #", 1)
    (folder / "bank.yaml").write_text(text)
    return folder / "bank.yaml"


def test_the_librarys_own_evaluations_hold(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = run(capsys, LIBRARY)
    assert status == 0
    assert "rule `pan-truncate` on `card-numbers.jsonl`: recall 1.000 (40 of 40, 95 % within 0.912 to 1.000)" in told


def test_a_bound_that_does_not_hold_is_status_1_at_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_bank(tmp_path, check="card")
    file.write_text(file.read_text().replace("{12,18}", "{12,13}"))
    report = tmp_path / "r.xml"
    status, told = run(capsys, file, "--junit", report)
    assert status == 1
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "corpus:" in text)
    assert f"bank.yaml:{line}:5: rule `pan-truncate` on `card-numbers.jsonl`: recall 0." in told
    assert ET.parse(report).getroot().get("failures") == "1"


def test_json_and_a_corpus_that_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_bank(tmp_path)
    status, told = run(capsys, file, "--json")
    (one,) = json.loads(told)["evaluations"]
    assert (status, one["holds"], one["recall"]["of"], one["min_recall_ppm"]) == (0, True, 40, 990_000)
    (tmp_path / "card-numbers.jsonl").unlink()
    status, told = run(capsys, file, "--json")
    assert status == 2
    assert "the file cannot be read" in json.loads(told)["failed"]


def test_models_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_bank(tmp_path)
    file.write_text(file.read_text().replace("rule: pan-truncate\n", "rule: injection\n"))
    status, told = run(capsys, "--no-models", file)
    assert status == 0
    assert told.endswith("not run, it needs a model\n" + f"{file}: no evaluation was run, 1 not run\n")
    assert io.StringIO(told).readline().startswith(f"{file}:")
