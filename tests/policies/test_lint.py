"""What ships has no finding but the ones it admits, and every check finds what it is for, at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.errors import PolicyErrors
from policies.lint import CHECKS, lint, lint_policy

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "policies" / "library"
EXPECTED = {"llama-guard.yaml": {"uncalibrated"}}
"""Its thresholds are nobody's measurement, and it says so."""


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.yaml")), ids=lambda file: file.name)
def test_what_ships_has_no_finding_that_it_does_not_admit(file: Path) -> None:
    assert {one.code for one in lint_policy(file)} == EXPECTED.get(file.name, set())


def test_a_finding_points_at_its_line() -> None:
    text = (LIBRARY / "default.yaml").read_text().replace("threshold: 0.545 ", "threshold: 1     ")
    found = [one for one in lint(text.encode(), "p.yaml") if one.code == "extreme-threshold"]
    assert [text.splitlines()[one.place.line - 1].strip()[:12] for one in found] == ["threshold: 1"]


def test_every_code_is_documented() -> None:
    page = (ROOT / "docs" / "policies.md").read_text()
    assert [code for code in CHECKS if f"| `{code}` |" not in page] == []


def test_a_policy_with_problems_is_not_linted(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("gatehouse: policy/v9\n")
    with pytest.raises(PolicyErrors):
        lint_policy(tmp_path / "bad.yaml")
