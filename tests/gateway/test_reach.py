"""Ways to the model server and the guards, from a configuration."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.errors import GatewayError
from gateway.reach import open_reach

CONFIG = """\
gatehouse: config/v1
keys: [{id: k1, tenant: clinic, key: gatehouse-demo-key}]
policy: policy.yaml
engine: ENGINE
"""


@pytest.mark.parametrize(
    ("engine", "socket", "probes"),
    [
        ("{url: 'http://127.0.0.1:9/v1'}", "", ["engine"]),
        ("{url: 'http://127.0.0.1:9/v1'}", "host.sock", ["engine", "model_host"]),
        ("{starter: true}", "host.sock", ["engine", "model_host"]),
    ],
)
async def test_what_an_exchange_needs_is_probed_and_is_away_here(
    tmp_path: Path, engine: str, socket: str, probes: list[str]
) -> None:
    (tmp_path / "policy.yaml").write_text("")
    (tmp_path / "gatehouse.yaml").write_text(CONFIG.replace("ENGINE", engine))
    async with AsyncExitStack() as stack:
        config = load_config(tmp_path / "gatehouse.yaml", tmp_path)
        reach = await open_reach(config, str(tmp_path / socket) if socket else "", stack)
        assert list(reach.probes()) == probes
        for probe in reach.probes().values():
            with pytest.raises(GatewayError):
                await probe()
