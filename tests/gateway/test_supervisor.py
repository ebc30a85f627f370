"""The supervisor keeps its children alive, gives up when they never can be, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Address, Config, load_config
from gateway.errors import ConfigError
from gateway.guard_settings import facts
from gateway.supervisor import Programs, Supervisor
from policies.errors import FileErrors
from policies.load import parse_policy
from tests.doubles import eventually

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import json, os, signal, sys, time
name, directory = sys.argv[1], sys.argv[2]
if "--number" in sys.argv: name += sys.argv[sys.argv.index("--number") + 1]
lives = len([f for f in os.listdir(directory) if f.startswith(name)])
def told(number, frame):
    with open(f"{directory}/told", "a") as file: file.write(f"{name} {signal.Signals(number).name}\\n")
    if number == signal.SIGTERM and not os.path.exists(f"{directory}/stubborn"): sys.exit(0)
for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, told)
with open(f"{directory}/.{name}", "w") as file: json.dump({"pid": os.getpid(), "argv": sys.argv[3:]}, file)
os.rename(f"{directory}/.{name}", f"{directory}/{name}.{lives}")
plan = f"{directory}/plan.{name}"
statuses = open(plan).read().split() if os.path.exists(plan) else []
if lives < len(statuses): sys.exit(int(statuses[lives]))
while sys.stdin.buffer.raw.read(1): pass
with open(f"{directory}/told", "a") as file: file.write(f"{name} EOF\\n")
"""
RULES = """
gatehouse: policy/v1
name: small
version: 1.0.0
owner: tests@gatehouse.example
detectors: {DETECTOR}
rules:
  - {id: r, on: [user], when: {d: CONDITION}, do: {block: {code: x}}}
  - {id: pass, on: [user, output], do: allow}
"""
BY_RULES = RULES.replace("DETECTOR", "d: {use: secrets}").replace("CONDITION", "{count: {gte: 1}}")
BY_MODEL = RULES.replace("DETECTOR", "d: {use: starter_injection}").replace("CONDITION", "{score: {gte: 0.5}}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


class Site:
    """A configuration whose children are stand-ins that write down what happens to them."""

    def __init__(
        self,
        directory: Path,
        engine: str = "{url: 'http://127.0.0.1:9/v1'}",
        policy: str = BY_RULES,
        guards: str = "{}",
    ) -> None:
        self.directory, self.policy = directory, policy
        (directory / "policy.yaml").write_text(policy)
        (directory / "gatehouse.yaml").write_text(
            "gatehouse: config/v1\nkeys: [{id: k, tenant: t, key: gatehouse-demo-key}]\n"
            f"policy: policy.yaml\nengine: {engine}\nguards: {guards}\ndrain: 0s\n"
            f"listen: {{api: '127.0.0.1:{free_port()}', admin: '127.0.0.1:{free_port()}'}}\n"
        )
        self.config: Config = load_config(directory / "gatehouse.yaml", directory / "var")
        self.lives_at = directory / "children"
        self.lives_at.mkdir()

    def supervisor(self, **config: Any) -> Supervisor:
        program = [sys.executable, "-S", "-c", CHILD]
        return Supervisor(
            replace(self.config, **config),
            [parse_policy(self.policy.encode(), "policy.yaml", facts(self.config.guards))],
            Programs(*((*program, name, str(self.lives_at)) for name in ("host", "front", "worker"))),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[int]]:
        """The supervisor at work, stopped by the signal that an operator sends."""
        task = asyncio.create_task(self.supervisor().run())
        try:
            await self.lives("front", 1)
            yield task
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.wait_for(task, 20)

    async def lives(self, name: str, count: int) -> list[dict[str, Any]]:
        """What each of the child's lives was started with, once there were that many."""
        await eventually(lambda: (self.lives_at / f"{name}.{count - 1}").exists(), 10)
        return [json.loads((self.lives_at / f"{name}.{number}").read_text()) for number in range(count)]

    def told(self) -> list[str]:
        path = self.lives_at / "told"
        return path.read_text().splitlines() if path.exists() else []


def option(life: dict[str, Any], name: str) -> str:
    argv = life["argv"]
    return str(argv[argv.index(name) + 1])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_front_with_rules_and_a_remote_engine_needs_no_model_host(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site.running() as task:
        [life] = await site.lives("front", 1)
        assert option(life, "--host-socket") == ""
        assert option(life, "--config") == str(tmp_path / "gatehouse.yaml")
        assert not (site.lives_at / "host.0").exists()
    assert task.result() == 0
    assert site.told() == ["front SIGTERM"]
    assert not alive(life["pid"])


async def test_models_run_in_one_host_and_the_front_stops_first(tmp_path: Path) -> None:
    """Exchanges in flight need their guards until the front has answered them."""
    site = Site(tmp_path, engine="{starter: true}", policy=BY_MODEL)
    async with site.running():
        [host] = await site.lives("host", 1)
        [front] = await site.lives("front", 1)
        models = json.loads(option(host, "--models"))
        assert [(model["name"], model["task"]) for model in models] == [
            ("starter_injection", "classify"), ("gatehouse-starter", "generate"),
        ]  # fmt: skip
        assert option(host, "--socket") == option(front, "--host-socket")
        directory = Path(option(host, "--socket")).parent
        assert directory.stat().st_mode & 0o077 == 0, "other users must not reach the model host"
    assert site.told() == ["front SIGTERM", "host SIGTERM"]
    assert not directory.exists()


async def test_workers_are_told_where_their_lead_is_and_end_beside_it(tmp_path: Path) -> None:
    site = Site(tmp_path, policy=BY_MODEL)
    with (tmp_path / "gatehouse.yaml").open("a") as file:
        file.write("workers: 3\n")
    site.config = load_config(tmp_path / "gatehouse.yaml", tmp_path / "var")
    async with site.running():
        [host] = await site.lives("host", 1)
        [front] = await site.lives("front", 1)
        workers = [*await site.lives("worker1", 1), *await site.lives("worker2", 1)]
        assert sorted(option(worker, "--number") for worker in workers) == ["1", "2"]
        assert {option(worker, "--lead") for worker in workers} == {option(front, "--lead-socket")}
        assert {option(worker, "--api-fd") for worker in workers} == {option(front, "--api-fd")}
        assert option(front, "--workers") == "3"
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: site.told() == ["front SIGHUP"])
    told = site.told()[1:]
    assert sorted(told[:-1]) == ["front SIGTERM", "worker1 SIGTERM", "worker2 SIGTERM"]
    assert told[-1] == "host SIGTERM", "exchanges in flight need their guards"
    assert not any(alive(life["pid"]) for life in (host, front, *workers))


async def test_one_front_has_nobody_to_lead(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site.running():
        [front] = await site.lives("front", 1)
        assert "--lead-socket" not in front["argv"]
        assert not (site.lives_at / "worker1.0").exists()


async def test_the_starter_engine_is_told_its_adapters(tmp_path: Path) -> None:
    site = Site(tmp_path, engine="{starter: true, adapters: {clinic: a/clinic}}")
    async with site.running():
        [host] = await site.lives("host", 1)
        [model] = json.loads(option(host, "--models"))
    assert model["adapters"] == {"clinic": str(tmp_path / "a/clinic")}


HOUSE = "{path: house, profile: label_classifier, labels: [ok, bad], flagged: [bad], precision: fp32}"


def with_house(tmp_path: Path, use: str) -> Site:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "manifest.json").write_text("{}")
    return Site(tmp_path, policy=BY_MODEL.replace("starter_injection", use), guards=f"{{{use}: {HOUSE}}}")


async def test_a_guard_of_ones_own_runs_where_its_directory_is(tmp_path: Path) -> None:
    site = with_house(tmp_path, "house")
    async with site.running():
        [host] = await site.lives("host", 1)
    assert json.loads(option(host, "--models")) == [
        {"name": "house", "path": str(tmp_path / "house"), "task": "classify", "precision": "fp32"}
    ]


async def test_a_guard_that_no_rule_uses_is_not_started_and_the_log_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, policy=BY_MODEL, guards=f"{{spare: {HOUSE}}}")
    async with site.running():
        [host] = await site.lives("host", 1)
    assert [model["name"] for model in json.loads(option(host, "--models"))] == ["starter_injection"]
    said = capsys.readouterr().out
    assert "guard_not_used" in said
    assert "spare" in said


def environment_of(pid: int) -> set[bytes]:
    return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


async def test_no_library_of_a_child_may_look_for_files_elsewhere(tmp_path: Path) -> None:
    site = Site(tmp_path, policy=BY_MODEL)
    async with site.running():
        [host] = await site.lives("host", 1)
        variables = environment_of(host["pid"])
    assert {b"HF_HUB_OFFLINE=1", b"TRANSFORMERS_OFFLINE=1", b"HF_HUB_DISABLE_TELEMETRY=1"} <= variables


async def test_a_guard_whose_directory_is_gone_is_named_and_nothing_starts(tmp_path: Path) -> None:
    site = with_house(tmp_path, "house")
    (tmp_path / "house" / "manifest.json").unlink()
    with pytest.raises(FileErrors, match="gatehouse models add"):
        await site.supervisor().run()
    assert list(site.lives_at.iterdir()) == []


def test_a_policy_whose_guard_nobody_configured_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path, policy=BY_MODEL.replace("starter_injection", "prompt_guard_2_86m"))
    with pytest.raises(ConfigError) as error:
        site.supervisor()
    assert error.value.code == "guard_not_configured"


@pytest.mark.parametrize("name", ["front", "host"])
async def test_a_killed_child_is_replaced_with_the_same_sockets(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path, policy=BY_MODEL)
    async with site.running():
        [first] = await site.lives(name, 1)
        os.kill(first["pid"], signal.SIGKILL)
        _, second = await site.lives(name, 2)
        assert second["argv"] == first["argv"]
        assert second["pid"] != first["pid"]
        other = "host" if name == "front" else "front"
        assert not (site.lives_at / f"{other}.1").exists(), "one child's death is not the other's"


async def test_clients_wait_while_the_front_is_replaced(tmp_path: Path) -> None:
    """The listening sockets belong to the supervisor, so nobody is refused meanwhile."""
    site = Site(tmp_path)
    async with site.running():
        [first] = await site.lives("front", 1)
        os.kill(first["pid"], signal.SIGKILL)
        with socket.create_connection((site.config.api.host, site.config.api.port), 2):
            pass
        await site.lives("front", 2)


@pytest.mark.parametrize("name", ["front", "host"])
async def test_a_child_that_says_it_cannot_work_ends_the_start_with_2(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path, policy=BY_MODEL)
    (site.lives_at / f"plan.{name}").write_text("2")
    assert await asyncio.wait_for(site.supervisor().run(), 20) == 2
    for file in site.lives_at.glob("*.0"):
        assert not alive(json.loads(file.read_text())["pid"])


async def test_a_child_that_crashes_is_tried_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (site.lives_at / "plan.front").write_text("1 1")
    async with site.running():
        assert len(await site.lives("front", 3)) == 3


async def test_a_child_that_once_ran_may_fail_and_is_retried(tmp_path: Path) -> None:
    """A model file that was damaged at noon must not take down what still works."""
    site = Site(tmp_path)
    (site.lives_at / "plan.front").write_text("")
    async with site.running() as task:
        [first] = await site.lives("front", 1)
        (site.lives_at / "plan.front").write_text("0 2")
        os.kill(first["pid"], signal.SIGKILL)
        await site.lives("front", 3)
        assert not task.done()


async def test_a_program_that_is_not_there_is_retried_and_the_stop_still_works(tmp_path: Path) -> None:
    site = Site(tmp_path)
    programs = Programs(front=(str(tmp_path / "missing"),))
    supervisor = Supervisor(site.config, [parse_policy(BY_RULES.encode(), "policy.yaml")], programs)
    task = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0.7)
    assert not task.done()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(task, 10) == 0


async def test_a_child_that_can_be_kept_no_more_ends_the_whole(tmp_path: Path) -> None:
    """Gone without a word it would leave a gateway that looks as if it ran."""
    site = Site(tmp_path)
    programs = Programs(front=("no\0program",))
    supervisor = Supervisor(site.config, [parse_policy(BY_RULES.encode(), "policy.yaml")], programs)
    with pytest.raises(ValueError, match="null byte"):
        await asyncio.wait_for(supervisor.run(), 10)


async def test_hang_up_reloads_the_front_only(tmp_path: Path) -> None:
    site = Site(tmp_path, policy=BY_MODEL)
    async with site.running():
        await site.lives("host", 1)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: site.told() == ["front SIGHUP"])


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (site.lives_at / "stubborn").write_text("")
    task = asyncio.create_task(site.supervisor(drain_s=-4.5).run())  # 5 s of patience come on top
    [life] = await site.lives("front", 1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(task, 10) == 0
    assert not alive(life["pid"])


async def test_a_stop_during_a_restart_does_not_leave_the_new_child(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (site.lives_at / "plan.front").write_text(" ".join(["1"] * 50))
    for moment in (0.0, 0.19, 0.21, 0.25):
        task = asyncio.create_task(site.supervisor().run())
        await site.lives("front", 1)
        await asyncio.sleep(moment)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0


async def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    """Nobody can clean up after SIGKILL, so the children watch a pipe that only a living supervisor holds open."""
    program = (
        "import asyncio, pathlib, sys; from tests.gateway.test_supervisor import Site\n"
        "asyncio.run(Site(pathlib.Path(sys.argv[1])).supervisor().run())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path), cwd=ROOT)
    lives = tmp_path / "children"
    await eventually((lives / "front.0").exists, 10)
    child = json.loads((lives / "front.0").read_text())["pid"]
    process.kill()
    await process.wait()
    await eventually(lambda: (lives / "told").exists() and "front EOF" in (lives / "told").read_text())
    await eventually(lambda: not alive(child) or _is_zombie(child))


def _is_zombie(pid: int) -> bool:
    """Ended, and only not collected yet by whoever inherited it."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


async def test_an_address_that_is_taken_is_named_and_nothing_starts(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with socket.create_server((site.config.admin.host, site.config.admin.port)), pytest.raises(ConfigError) as error:
        await site.supervisor().run()
    assert error.value.code == "address_unavailable"
    assert str(site.config.admin) in error.value.message
    assert list(site.lives_at.iterdir()) == []


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_a_config_error(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError):
        await Site(tmp_path).supervisor(api=Address(host, 80)).run()
