"""The gateways that bench/front.py compares: how each is started, and what it needs to be there.

A peer that is not installed is named as missing and left out; bench/setup_peers.sh installs them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.gatehouse import KEY, serving
from bench.processes import free_port, started

HERE = Path(__file__).resolve().parent
GATEHOUSE = "gatehouse"
DIRECT = "direct"
_CHAT = "/v1/chat/completions"
_STREAM = "window: 256 characters, holdback: 1024 characters"
_LITELLM_ENV = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION", "NO_DOCS": "True", "NO_REDOC": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """Something that runs and can be asked."""

    url: str
    pid: int | None
    """Root of the process tree to measure; None for the mock itself."""
    key: str = "sk-bench"


@dataclass(frozen=True, slots=True)
class Site:
    """What a peer is started with."""

    directory: Path
    """Empty, its own, on a real disk."""
    mock: int
    core: int


Start = Callable[[Site], AbstractContextManager[Target]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the table."""

    start: Start
    missing: str = ""
    """What is not installed; empty when it can run."""


def home() -> Path:
    """Where setup_peers.sh installs."""
    return Path(os.environ.get("GATEHOUSE_BENCH_HOME", "/tmp/gatehouse-bench"))


def all_peers() -> dict[str, Peer]:
    """Every row, in the order of the table."""
    python = sys.executable
    litellm = home() / "litellm" / "bin" / "litellm"
    no_nginx = "" if shutil.which("nginx") else "nginx is not on the PATH"
    no_litellm = "" if litellm.is_file() else f"{litellm} is not there"
    return {
        DIRECT: Peer(_direct),
        "nginx": Peer(_command(["nginx", "-p", ".", "-c", "nginx.conf"], "/v1/models", ["nginx.conf"]), no_nginx),
        "raw protocol floor": Peer(_command([python, str(HERE / "floors" / "raw_proxy.py"), *_PORTS], "/health")),
        "starlette floor": Peer(_command([python, str(HERE / "floors" / "least_proxy.py"), *_PORTS], "/health")),
        GATEHOUSE: Peer(gatehouse(_STREAM)),
        "gatehouse, short hold-back": Peer(gatehouse("window: 32 characters, holdback: 64 characters")),
        "litellm": Peer(_litellm(litellm, "plain.yaml"), no_litellm),
        "litellm, 1 guardrail": Peer(_litellm(litellm, "guardrail.yaml"), no_litellm),
    }


_PORTS = ("--port", "@PORT@", "--mock", "@MOCK@")


@contextmanager
def _direct(site: Site) -> Iterator[Target]:
    yield Target(f"http://127.0.0.1:{site.mock}{_CHAT}", None)


def gatehouse(stream: str) -> Start:
    """A real `gatehouse serve` with rules-only.yaml, whose streams are released as `stream` says."""

    @contextmanager
    def start(site: Site) -> Iterator[Target]:
        source = (HERE / "policies" / "rules-only.yaml").read_text()
        if _STREAM not in source:
            raise ValueError(f"rules-only.yaml does not say `{_STREAM}`")
        policy = site.directory / "policy.yaml"
        policy.write_text(source.replace(_STREAM, stream))
        engine = f'{{url: "http://127.0.0.1:{site.mock}"}}'
        with serving(site.directory, policy, engine, site.core) as gateway:
            yield Target(gateway.url + _CHAT, gateway.pid, KEY)

    return start


def _litellm(program: Path, config: str) -> Start:
    argv = [str(program), "--config", config, "--host", "127.0.0.1", "--port", "@PORT@", "--num_workers", "1"]
    return _command(argv, "/health/liveliness", [f"litellm/{config}", "litellm/words.py"], _LITELLM_ENV)


def _command(argv: Sequence[str], ready: str, files: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Start:
    """A gateway that is one command. `@PORT@` and `@MOCK@` are filled in, in the command and in its files."""

    @contextmanager
    def start(site: Site) -> Iterator[Target]:
        port = free_port()

        def filled(text: str) -> str:
            return text.replace("@PORT@", str(port)).replace("@MOCK@", str(site.mock))

        for file in files:
            (site.directory / Path(file).name).write_text(filled((HERE / file).read_text()))
        base = f"http://127.0.0.1:{port}"
        words = [filled(word) for word in argv]
        with started(words, site.directory, base + ready, env=env, core=site.core) as pid:
            yield Target(base + _CHAT, pid)

    return start
