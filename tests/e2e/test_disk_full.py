"""The audit disk fills while clients ask: no answer without a record, and service returns with the space."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import RULES_ONLY, Gateway, environment, wait_until, write_config

FILLER_BYTES = 800_000


@pytest.fixture
def small_disk(scripted: str, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose state lies on a tmpfs of 1 MiB, in a mount namespace of its own."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare to mount a small disk")
    (tmp_path / "policy.yaml").write_text(RULES_ONLY)
    (tmp_path / "var").mkdir()
    config = write_config(tmp_path, policy="policy.yaml", engine=f"{{url: '{scripted}/v1'}}")
    config.write_text(config.read_text() + "concurrency: {total: 1, per_key: 1}\n")
    mount = f"mount -t tmpfs -o size=1m none {tmp_path}/var && head -c {FILLER_BYTES} /dev/zero > {tmp_path}/var/filler"
    serve = f"exec {sys.executable} -m gateway.cli serve --config {config}"
    with (tmp_path / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{mount} && {serve}"],
            cwd=tmp_path, env=environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    text = config.read_text()
    api, admin = (f"http://{part.split(chr(39))[1]}" for part in text.split("listen:")[1].split("}")[0].split(","))
    gateway = Gateway(process, tmp_path, api, admin, config)
    try:
        gateway.wait_ready()
    except AssertionError:
        if "mount" in gateway.log():
            pytest.skip("mounting is not permitted here")
        raise
    yield gateway
    gateway.stop()


def test_a_full_disk_stops_answers_and_loses_nothing(small_disk: Gateway) -> None:
    inside = Path(f"/proc/{small_disk.process.pid}/root{small_disk.directory}/var")
    answered: list[str] = []
    for _ in range(2000):
        answer = small_disk.chat("one two three")
        if answer.status_code != 200:
            break
        answered.append(answer.headers["x-request-id"])
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "audit_unavailable"
    assert len(answered) > 20
    assert httpx.get(small_disk.admin + "/readyz").json()["checks"]["audit"] == "audit_no_space"
    assert httpx.get(small_disk.admin + "/livez").status_code == 200

    (inside / "filler").unlink()
    wait_until(lambda: httpx.get(small_disk.admin + "/readyz").status_code == 200)
    again = small_disk.chat("one two")
    assert again.status_code == 200

    lines = b"".join(path.read_bytes() for path in sorted((inside / "audit" / "seg").glob("*.jsonl"))).splitlines()
    kept = [json.loads(line) for line in lines]
    closed = {record["req"] for record in kept if record["type"] == "response.complete"}
    assert closed >= {*answered, again.headers["x-request-id"]}
    assert "audit.reserve_low" in {record["type"] for record in kept}
    assert "response.orphan" not in {record["type"] for record in kept}, "whoever had begun could finish"
