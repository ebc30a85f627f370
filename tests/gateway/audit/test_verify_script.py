"""docs/verify.py, which an auditor runs without Gatehouse, and which agrees with Gatehouse's own verifier.

Every use of `verified` in the tests of the log compares the two. Here are the script as a program, and more attacks.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.audit.harness import segments_in, small_log, verified

SCRIPT = Path(__file__).parents[3] / "docs" / "verify.py"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    small_log(tmp_path, exchanges=4, starts=2)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    """The script in an interpreter that sees neither this checkout nor the environment."""
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_the_script_proves_a_whole_log_and_says_on_what_it_rests(log: Path) -> None:
    status, out = run(log / "log", log / "keys" / "test-one-audit.vkey")

    found = json.loads(out)
    assert (status, found["exit"], found["records"], found["signed"]) == (0, 0, 28, 28)
    assert "could have replaced it" in found["proved"]


def test_the_script_names_where_the_log_breaks_and_shows_no_record(log: Path) -> None:
    segment = segments_in(log)[1]
    segment.write_bytes(segment.read_bytes().replace(b'"req":"1-2"', b'"req":"1-7"', 1))

    status, out = run(log / "log", log / "keys" / "test-one-audit.vkey")

    assert status == 2
    assert json.loads(out)["where"] == f"seg/{segment.name}:9"  # the link to the changed line 8 is what breaks
    assert "1-7" not in out


@pytest.mark.parametrize("trust", ["missing.vkey", "LOG"])
def test_without_a_trust_root_nothing_is_proved(log: Path, trust: str) -> None:
    status, out = run(log / "log", log / "log" / trust)

    assert status == 5
    assert "proved" not in json.loads(out)


def test_wrong_usage_prints_how_to_use_it(log: Path) -> None:
    assert run(log) == (5, "")


def test_the_script_needs_the_standard_library_and_cryptography_alone() -> None:
    nodes = list(ast.walk(ast.parse(SCRIPT.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {"cryptography"}


def test_the_script_is_short_enough_to_be_read() -> None:
    assert len(SCRIPT.read_text().splitlines()) < 300


def test_both_verifiers_agree_on_changed_bytes_everywhere(log: Path) -> None:
    """A sample; every single byte is changed in test_verify.py for our own verifier."""
    for file in (log / "log" / "LOG", log / "log" / "checkpoint", log / "log" / "checkpoints.log", *segments_in(log)):
        data = bytearray(file.read_bytes())
        for at in range(0, len(data), 13):
            data[at] ^= 1 << at % 8
            file.write_bytes(data)
            assert verified(log).exit >= 2, f"{file.name} byte {at}"
            data[at] ^= 1 << at % 8
        file.write_bytes(data)


def test_both_verifiers_agree_on_cut_logs(log: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for file in ("seg/0000000000000014.jsonl", "checkpoints.log"):
        size = (log / "log" / file).stat().st_size
        for end in range(0, size, max(1, size // 40)):
            copy = Path(shutil.copytree(log, tmp_path_factory.mktemp("cut") / "copy"))
            with (copy / "log" / file).open("r+b") as out:
                out.truncate(end)
            assert verified(copy).exit >= 2, f"{file} cut at {end}"
