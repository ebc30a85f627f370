"""What `policy` of a configuration may say, and that it cannot ask for more approvals than there are people."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bundles.admission import Approval
from gateway.policy_settings import PolicySettings, read_policy
from gateway.policy_source import BundleSource, FileSource
from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.yaml_strict import parse
from tests.gateway.bundles.making import ALICE, BOB

PEOPLE = {"alice": ALICE.verifier, "bob": BOB.verifier}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text("gatehouse: policy/v1\n")
    return tmp_path


def read(folder: Path, text: str, people: int = 2) -> tuple[PolicySettings, list[str]]:
    problems = Problems()
    top = Section.open(parse(f"policy: {text}".encode(), "g.yaml", problems), "it", problems, ("policy",))
    assert top is not None
    found = read_policy(top, folder, dict(list(PEOPLE.items())[:people]))
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, str(exc).split("\n")
    return found, []


def test_a_file_is_named_alone_or_with_particulars(folder: Path) -> None:
    assert read(folder, "p.yaml") == (PolicySettings(folder / "p.yaml"), [])
    assert read(folder, "{file: p.yaml, watch: false}") == (PolicySettings(folder / "p.yaml", watch=False), [])
    assert isinstance(read(folder, "p.yaml")[0].source({}, folder), FileSource)


def test_a_bundle_may_be_away_and_says_who_signs(folder: Path) -> None:
    found, problems = read(folder, "{bundle: p.bundle, approvals: 2}")
    assert problems == []
    assert (found.path, found.is_bundle, found.approvals, found.approvals_to_weaken) == (
        folder / "p.bundle",
        True,
        2,
        2,
    )
    source = found.source(PEOPLE, folder)
    assert isinstance(source, BundleSource)
    assert source.approval == Approval((ALICE.verifier, BOB.verifier), 2, 2)


@pytest.mark.parametrize(
    ("text", "people", "problem"),
    [
        ("gone.yaml", 2, "g.yaml:1:1: `policy` names a file that is not there"),
        ("{file: gone.yaml}", 2, "g.yaml:1:10: `policy` names a file that is not there"),
        ("[p.yaml]", 2, "g.yaml:1:9: `policy` is a list, expected text"),
        ("{bundle: p.bundle}", 1, "a policy may need 2 approvals, and `approvers` lists 1 people"),
        ("{bundle: p.bundle, approvals: 3, approvals_to_weaken: 2}", 2, "`approvals_to_weaken` is 2, less than"),
        ("{bundle: p.bundle, approval: 1}", 2, "unknown key `approval` in `policy` (did you mean `approvals`?)"),
        ("{file: p.yaml, approvals: 1}", 2, "unknown key `approvals` in `policy`"),
        ("{watch: true}", 2, "`policy` has no `bundle`"),
    ],
)
def test_what_is_wrong_is_named_at_its_place(folder: Path, text: str, people: int, problem: str) -> None:
    _, problems = read(folder, text, people)
    assert any(problem in found for found in problems), problems
