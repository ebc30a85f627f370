"""Anchors in the configuration: every problem at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.anchor_settings import read_anchors
from gateway.audit.anchors.settings import AnchorSettings, FileDrop, TimestampAt, WitnessAt
from policies.errors import FileErrors, Problems
from policies.yaml_strict import Table, parse
from tests.gateway.audit.harness import signer_in
from tests.gateway.witness.live_witness import COSIGNER


def read(path: Path, text: str) -> tuple[tuple[AnchorSettings, ...], list[str]]:
    problems = Problems()
    top = parse(f"anchors:{text}\n".encode(), "gatehouse.yaml", problems)
    assert isinstance(top, Table)
    found = read_anchors(top.entries[0].value, path, problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, str(exc).splitlines()
    return found, []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "w.vkey").write_text(COSIGNER.vkey + "\n")
    (tmp_path / "log.vkey").write_text(signer_in(seed=1).verifier.vkey)
    (tmp_path / "roots.pem").write_text("")
    return tmp_path


def test_all_kinds(path: Path) -> None:
    found, problems = read(
        path,
        """
  - {name: worm, kind: file, directory: /mnt/worm}
  - {name: site-2, kind: witness, url: "https://w:8443/x", key: w.vkey, every: 5s, max_age: 1h, timeout: 2s}
  - {name: tsa, kind: rfc3161, url: "http://tsa/", roots: roots.pem, every: 1h, ca: roots.pem}""",
    )
    assert problems == []
    roots = path / "roots.pem"
    assert found == (
        AnchorSettings("worm", FileDrop(Path("/mnt/worm")), 10.0, None),
        AnchorSettings("site-2", WitnessAt("https://w:8443/x", COSIGNER.key, None, 2.0), 5.0, 3600.0),
        AnchorSettings("tsa", TimestampAt("http://tsa/", roots, roots), 3600.0, None),
    )


def test_none(path: Path) -> None:
    assert read_anchors(None, path, Problems()) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (" {}", "`anchors` is not a list"),
        (" [{name: a}]", "`kind`"),
        (" [{name: a, kind: paper}]", "expected one of `file`, `witness`, `rfc3161`"),
        (" [{name: a b, kind: file, directory: x}]", "`name`"),
        (" [{kind: file, directory: x}]", "`name`"),
        (" [{name: a, kind: file}]", "`directory`"),
        (" [{name: a, kind: file, directory: x, url: 'http://x/'}]", "`url` is not for an anchor of the kind `file`"),
        (" [{name: a, kind: witness, url: 'ftp://x', key: w.vkey}]", "is not a URL"),
        (" [{name: a, kind: witness, url: 'http://x/'}]", "`key`"),
        (" [{name: a, kind: witness, url: 'http://x/', key: none.vkey}]", "a file that is not there"),
        (" [{name: a, kind: witness, url: 'http://x/', key: log.vkey}]", "the cosignature kind"),
        (" [{name: a, kind: rfc3161, url: 'http://x/'}]", "`roots`"),
        (" [{name: a, kind: file, directory: x, max_age: 20s}]", "at least three times `every`"),
        (" [{name: a, kind: file, directory: x, every: 1ms}]", "`every`"),
        (" [{name: a, kind: file, directory: x}, {name: a, kind: file, directory: y}]", "the same name"),
        (" [{name: a, kind: file, directory: x}, {name: b, kind: file, directory: x}]", "the same place"),
    ],
)
def test_problems_are_told_at_their_place(path: Path, text: str, told: str) -> None:
    _, problems = read(path, text)
    assert any(told in problem for problem in problems), problems
    assert problems[0].startswith("gatehouse.yaml:1:")
