"""No egress: the quickstart works where no network exists but loopback, models, SDK and all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT, environment

FILE = "tests/e2e/test_quickstart.py"
ASKED = "engine_says or trained_guards or streamed_answer or moderations"


def test_it_works_without_a_network() -> None:
    """Tests of the quickstart once more, in a network namespace of their own. Own guards: test_own_guards.py."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("needs root, unshare and ip to make a network namespace")
    inside = f"ip link set lo up && exec {sys.executable} -m pytest -q -p no:cacheprovider {FILE} -k"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"{inside} '{ASKED}'"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    if "Operation not permitted" in done.stderr:
        pytest.skip("network namespaces are not permitted here")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "5 passed" in done.stdout
