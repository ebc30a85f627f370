"""What the end-to-end tests cannot time: a stop that comes while a child is being started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.config import load_config
from gateway.supervisor import Supervisor, _Child
from policies.load import load_policy

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "gatehouse.quickstart.yaml"


class SlowToStart(_Child):
    async def start(self) -> asyncio.subprocess.Process:
        await asyncio.sleep(0.2)
        return await super().start()


async def test_a_child_that_starts_while_the_supervisor_stops_is_ended_too(tmp_path: Path) -> None:
    config = load_config(CONFIG, tmp_path)
    supervisor = Supervisor(config, load_policy(config.policy))
    child = SlowToStart("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])

    keeper = asyncio.create_task(supervisor._keep(child))
    await asyncio.sleep(0.05)
    supervisor._stopping.set()
    await supervisor._stop([child])

    async with asyncio.timeout(10):
        await keeper
    assert child.process is not None
    assert child.process.returncode is not None
