"""A further process alone: what it is told to refuse, and that it goes when nobody is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.parallel.member import REFUSED


def run(directory: Path) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "engine.parallel.member", "--directory", str(directory), "--rank", "1"]
    argv += ["--world", "2", "--meeting", str(directory / "meeting"), "--precision", "fp32", "--kv-bytes", "1000000"]
    argv += ["--kv-precision", "auto", "--threads", "1", "--offload", "", "--resident-bytes", "0"]
    return subprocess.run(argv, input=b"", capture_output=True, timeout=60)


def test_a_directory_without_a_model_is_its_own_status(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (REFUSED, b"")
    assert b"config_invalid" in done.stderr
