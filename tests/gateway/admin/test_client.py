"""A command says plainly why nothing was done: no gateway, no key, not the role."""

from __future__ import annotations

import argparse
import hashlib
import socket
from pathlib import Path

import pytest

from gateway.admin.client import FAILED, AdminClient, AdminError, add_client_options, client_of, guarded
from tests.gateway.live import Live
from tests.gateway.live_admin import VERA, LiveAdmin


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_client_options(parser)
    return parser.parse_args(words)


def configuration(directory: Path, port: int, host: str = "127.0.0.1") -> Path:
    (directory / "policy.yaml").touch()
    file = directory / "gatehouse.yaml"
    digest = hashlib.sha256(b"client").hexdigest()
    file.write_text(
        "gatehouse: config/v1\n"
        f"listen: {{admin: '{host}:{port}'}}\n"
        f"keys: [{{id: a, tenant: t, sha256: '{digest}'}}]\n"
        "policy: policy.yaml\nengine: {starter: true}\n"
    )
    return file


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_client_finds_the_gateway_by_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", VERA)
    with LiveAdmin() as live:
        file = configuration(tmp_path, live.port, host)
        assert client_of(arguments("--config", str(file))).get("/admin/whoami")["name"] == "vera"


def test_the_key_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(VERA + "\n")
    with LiveAdmin() as live:
        file = configuration(tmp_path, live.port)
        client = client_of(arguments("--config", str(file), "--key-file", str(tmp_path / "key")))
        assert client.get("/admin/whoami") == {"name": "vera", "roles": ["auditor"]}


def test_no_gateway_is_said_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(AdminError, match="no gateway answers") as error:
        AdminClient(f"http://127.0.0.1:{port}", VERA).get("/admin/whoami")
    assert error.value.code == "not_running"


def test_the_api_listener_is_not_the_admin_listener() -> None:
    with Live() as live, pytest.raises(AdminError) as error:
        AdminClient(live.url, VERA).get("/admin/whoami")
    assert error.value.code == "no_such_route"


def test_a_command_without_a_key_or_a_file_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GATEHOUSE_OPERATOR_KEY", raising=False)
    run = guarded(lambda given: int(bool(client_of(given))))
    assert run(arguments("--config", str(configuration(tmp_path, 1)))) == FAILED
    assert run(arguments("--config", str(tmp_path / "absent.yaml"))) == FAILED
    said = capsys.readouterr().err
    assert "missing_operator_key" in said
    assert "absent.yaml" in said
