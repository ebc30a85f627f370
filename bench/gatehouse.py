"""A real `gatehouse serve` for a benchmark: its own configuration, free ports, state in a directory of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import free_port, started

ROOT = Path(__file__).resolve().parent.parent
KEY = "gatehouse-demo-key"
_CONFIG = """\
gatehouse: config/v1
listen: {{api: "127.0.0.1:{api}", admin: "127.0.0.1:{admin}"}}
keys: [{{id: bench, tenant: bench, app: bench, key: {key}}}]
policy: {policy}
engine: {engine}
state: var
origin: bench/1
drain: 3s
workers: {workers}
"""


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that is ready."""

    url: str
    pid: int
    """Of the supervisor; the front and, if the policy needs one, the model host are below it."""


@contextmanager
def serving(directory: Path, policy: Path, engine: str, core: int | None = None, workers: int = 1) -> Iterator[Serving]:
    """`engine` is the YAML value of that name. The audit log goes below `directory`, which decides what fsync costs."""
    api, admin = free_port(), free_port()
    config = directory / "gatehouse.yaml"
    config.write_text(_CONFIG.format(api=api, admin=admin, key=KEY, policy=policy, engine=engine, workers=workers))
    argv = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    ready = f"http://127.0.0.1:{admin}/readyz"
    with started(argv, directory, ready, env={"PYTHONPATH": str(ROOT)}, core=core) as pid:
        yield Serving(f"http://127.0.0.1:{api}", pid)
