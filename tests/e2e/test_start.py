"""`gatehouse serve` either refuses to start, with one clear line and exit status 2, or serves what it safely can."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import RULES_ONLY, Gateway, start, wait_until, write_config

ENGINE = "{url: 'http://127.0.0.1:9/v1'}"


def refused(directory: Path, config: Path) -> str:
    gateway = start(directory, config)
    assert gateway.process.wait(60) == 2, gateway.log()
    return gateway.log()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(RULES_ONLY)
    return tmp_path


def test_a_policy_with_typos_is_refused_with_all_of_them_and_their_places(directory: Path) -> None:
    (directory / "policy.yaml").write_text(
        RULES_ONLY.replace("use: secrets", "use: secretz").replace("- id: forged", "- idd: x")
    )
    log = refused(directory, write_config(directory, policy="policy.yaml", engine=ENGINE))
    line = RULES_ONLY.split("use: secrets")[0].count("\n") + 1
    assert f"policy.yaml:{line}:" in log
    assert "did you mean `secrets`?" in log
    assert "problems" in log
    assert "Traceback" not in log


def test_a_configuration_with_a_typo_is_refused_with_its_place(directory: Path) -> None:
    config = write_config(directory, policy="policy.yaml", engine=ENGINE)
    config.write_text(config.read_text().replace("engine:", "engin:"))
    log = refused(directory, config)
    assert "gatehouse.yaml:5:1: unknown key `engin`" in log
    assert "did you mean `engine`?" in log


def test_the_demo_key_is_refused_on_an_address_that_others_can_reach(directory: Path) -> None:
    config = write_config(directory, policy="policy.yaml", engine=ENGINE)
    text = config.read_text()
    port = text.split("api: '127.0.0.1:")[1].split("'")[0]
    config.write_text(text.replace(f"127.0.0.1:{port}", f"0.0.0.0:{port}"))
    assert "demo key" in refused(directory, config)


def test_a_port_in_use_is_named(directory: Path) -> None:
    config = write_config(directory, policy="policy.yaml", engine=ENGINE)
    port = int(config.read_text().split("api: '127.0.0.1:")[1].split("'")[0])
    with socket.create_server(("127.0.0.1", port)):
        log = refused(directory, config)
    assert f"cannot listen on `127.0.0.1:{port}`" in log


def test_a_state_directory_that_cannot_be_written_is_named(directory: Path) -> None:
    (directory / "var").write_text("a file where the directory should be")
    log = refused(directory, write_config(directory, policy="policy.yaml", engine=ENGINE))
    assert "state_unwritable" in log
    assert "Traceback" not in log


def test_a_second_gateway_on_the_same_log_is_refused(rules_gateway: Gateway, directory: Path) -> None:
    config = write_config(directory, policy="policy.yaml", engine=ENGINE)
    (directory / "var").symlink_to(rules_gateway.directory / "var")
    config.write_text(config.read_text())
    assert "audit_locked" in refused(directory, config)


def once_up(directory: Path, config: Path) -> Gateway:
    """A gateway that has started and stopped in order."""
    gateway = start(directory, config)
    wait_until(lambda: httpx.get(gateway.admin + "/livez", timeout=1).status_code == 200)
    assert gateway.stop() == 0
    return gateway


def test_a_log_that_was_set_back_is_refused_where_a_head_store_knows_better(directory: Path) -> None:
    """A restored snapshot: whole, signed, and older than what the second place remembers."""
    config = write_config(directory, policy="policy.yaml", engine=ENGINE)
    config.write_text(config.read_text() + "audit: {head_store: elsewhere/heads.sqlite}\n")
    gateway = once_up(directory, config)
    shutil.copytree(gateway.audit_dir, directory / "snapshot")
    once_up(directory, config)
    shutil.rmtree(gateway.audit_dir)
    (directory / "snapshot").rename(gateway.audit_dir)

    log = refused(directory, config)

    assert "audit_rollback" in log
    assert "history is missing" in log
    assert "Traceback" not in log


def test_a_log_on_a_read_only_disk_is_refused(directory: Path) -> None:
    """A read-only bind mount in a mount namespace of its own, since root ignores permission bits."""
    config = write_config(directory, policy="policy.yaml", engine=ENGINE)
    (directory / "var").mkdir()
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare for a read-only mount")
    script = (
        f"mount --bind {directory}/var {directory}/var && mount -o remount,ro,bind {directory}/var"
        f" && exec {os.sys.executable} -m gateway.cli serve --config {config}"  # type: ignore[attr-defined]
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], cwd=directory, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if "mount" in done.stderr.split("\n")[0] and "permission denied" in done.stderr.lower():
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 2, done.stderr
    assert "Read-only file system" in done.stderr


def test_without_an_engine_the_gateway_serves_and_says_not_ready(directory: Path) -> None:
    gateway = start(directory, write_config(directory, policy="policy.yaml", engine=ENGINE))
    try:
        wait_until(lambda: httpx.get(gateway.admin + "/livez", timeout=1).status_code == 200)
        wait_until(lambda: httpx.get(gateway.admin + "/readyz").json()["checks"]["engine"] == "upstream_unreachable")
        answer = gateway.chat("hello")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "upstream_unreachable"
    finally:
        assert gateway.stop() == 0
