"""A file that does not load is a report and a status, for whatever command it was read."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from gateway.policy_files import OK, PROBLEMS, UNREADABLE, add_files, check_file, known_guards
from policies.vocabulary import KNOWN_GUARDS

DEFAULT = Path(__file__).parents[2] / "policies" / "library" / "default.yaml"


def test_a_policy_problems_and_no_file_differ_in_status(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("gatehouse: policy/v9\n")
    checked = [check_file(file) for file in (DEFAULT, tmp_path / "bad.yaml", tmp_path / "none.yaml")]
    assert [one.status for one in checked] == [OK, PROBLEMS, UNREADABLE]
    assert [one.policy is None for one in checked] == [False, True, True]
    assert "bad.yaml:1:" in checked[1].as_text()
    assert checked[2].as_json()["unreadable"] == "no such file or directory"


def test_a_configuration_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    out = io.StringIO()
    assert known_guards(None, out) is KNOWN_GUARDS
    assert known_guards(tmp_path / "none.yaml", out) is None
    assert out.getvalue().endswith("none.yaml: cannot be read: no such file or directory\n")


def test_files_come_with_their_options() -> None:
    parser = argparse.ArgumentParser()
    add_files(parser)
    args = parser.parse_args(["a.yaml", "b.yaml", "--json", "-c", "g.yaml"])
    assert (len(args.files), args.json, args.config) == (2, True, Path("g.yaml"))
