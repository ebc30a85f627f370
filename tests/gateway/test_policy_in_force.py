"""A reload swaps policy and guards together, or changes nothing and says so in the log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from gateway.errors import ConfigError, Unavailable
from gateway.guard_settings import Guards, GuardSettings, shipped
from gateway.metrics import Metrics
from gateway.policy_builder import PolicyBuilder
from gateway.policy_copies import copy_of
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import FileSource
from gateway.records import Records
from guards.profiles.known import PROFILES
from guards.profiles.profile import Profile
from guards.registry import ModelSource
from guards.verdict import Part, Scope
from policies.errors import FileErrors
from tests.doubles import ClassifyHost, MemoryLog, eventually, write_manifest, write_model

POLICY = """
gatehouse: policy/v1
name: site
version: VERSION
owner: tests@gatehouse.example
detectors: {creds: {use: secrets}}
rules:
  - {id: creds, on: [user], when: {creds: {count: {gte: 1}}}, do: {block: {code: secret}}}
  - {id: pass, on: [user, output], do: allow}
"""


SHIPPED = shipped()
NO_HOST = "a guard that has no host"


class Site:
    """A policy file, the log, and what holds the pointer."""

    def __init__(
        self, tmp_path: Path, host: httpx.AsyncClient | None = None, guards: Guards = SHIPPED, **sources: ModelSource
    ) -> None:
        self.path, self.log, self.metrics = tmp_path / "policy.yaml", MemoryLog(), Metrics()
        self.write("1.0.0")
        records = Records(self.log, self.metrics)  # type: ignore[arg-type] # a double
        local = {use: ModelSource(one.path, host, use) for use, one in shipped().items() if host and one.path}
        builder = PolicyBuilder(guards, {**local, **sources}, copies=tmp_path / "policies")
        self.policy = PolicyInForce(FileSource(self.path), builder, records, self.metrics)

    def write(self, version: str) -> None:
        self.path.write_text(POLICY.replace("VERSION", version))

    @property
    def version(self) -> str:
        return self.policy.current().policy.version

    def types(self) -> list[str]:
        return [record["type"] for record in self.log.records]

    def reloads(self, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value(
                "gatehouse_policy_reloads_total", {"outcome": outcome, "binding": ""}
            )
            or 0
        )


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    await site.policy.load_first()
    return site


async def test_the_first_policy_is_in_force_and_in_the_log(site: Site) -> None:
    assert site.version == "1.0.0"
    [record] = site.log.records
    assert record["type"] == "policy.load"
    assert record["policy"]["compiled_digest"] == site.policy.current().policy.digest
    assert site.policy.current().identities.keys() == {"creds"}


async def test_a_reload_replaces_both_and_what_began_keeps_what_it_had(site: Site) -> None:
    before = site.policy.current()
    site.write("2.0.0")
    await site.policy.reload()
    assert (site.version, before.policy.version) == ("2.0.0", "1.0.0")
    assert site.policy.current().panel is not before.panel
    assert site.types() == ["policy.load", "policy.load"]
    assert site.reloads("loaded") == 1


def broken(path: Path, how: str) -> None:
    text = path.read_text()
    if how == "gone":
        path.unlink()
    elif how == "directory":
        path.unlink()
        path.mkdir()
    else:
        damaged: dict[str, bytes] = {
            "half written": text[: len(text) // 2].encode(),
            "empty": b"",
            "unknown key": f"{text}\nrulez: []\n".encode(),
            "binary": os.urandom(200),
            NO_HOST: text.replace("secrets", "starter_injection")
            .replace("count: {gte: 1}", "score: {gte: 0.5}")
            .encode(),
        }
        path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["gone", "directory", "half written", "empty", "unknown key", "binary", NO_HOST])
async def test_a_reload_that_fails_changes_nothing_and_is_a_record(site: Site, how: str) -> None:
    before = site.policy.current()
    broken(site.path, how)
    await site.policy.reload()
    assert site.policy.current() is before
    assert site.types() == ["policy.load", "policy.reject"]
    assert site.log.records[1]["problems"] >= 1
    assert site.reloads("rejected") == 1


async def test_a_reload_that_asks_for_a_model_that_was_not_started_is_rejected(tmp_path: Path) -> None:
    async with httpx.AsyncClient() as host:
        site = Site(tmp_path, host)
        await site.policy.load_first()
        site.path.write_text(
            POLICY.replace("VERSION", "2.0.0")
            .replace("{use: secrets}", "{use: starter_injection, threshold: 0.5}")
            .replace("{count: {gte: 1}}", "{unsafe: true}")
        )
        await site.policy.reload()
    assert site.version == "1.0.0"
    assert site.types() == ["policy.load", "policy.reject"]


async def test_a_mended_file_loads_after_a_rejected_one(site: Site) -> None:
    broken(site.path, "empty")
    await site.policy.reload()
    site.write("2.0.0")
    await site.policy.reload()
    assert site.version == "2.0.0"


async def test_a_policy_whose_loading_cannot_be_recorded_is_not_in_force(site: Site) -> None:
    """Else decisions would cite a policy that the log has never heard of."""
    site.log.fail_from = len(site.log.records)
    site.write("2.0.0")
    await site.policy.reload()
    assert site.version == "1.0.0"
    broken(site.path, "empty")
    await site.policy.reload()
    assert site.version == "1.0.0"
    assert site.reloads("rejected") == 2


async def test_the_last_file_wins_however_slow_the_first_reload_is(site: Site) -> None:
    """Two signals in a row: the first reload must not finish after the second and bring the old file back."""
    site.log.slow_s = 0.2
    site.write("2.0.0")
    first = asyncio.create_task(site.policy.reload())
    await asyncio.sleep(0.1)
    site.log.slow_s = 0.0
    site.write("3.0.0")
    await site.policy.reload()
    await first
    assert site.version == "3.0.0"
    assert [r["policy"]["version"] for r in site.log.records] == ["1.0.0", "2.0.0", "3.0.0"]


async def test_a_signal_reloads_in_the_background(site: Site) -> None:
    site.write("2.0.0")
    site.policy.reload_soon()
    assert site.version == "1.0.0"
    await eventually(lambda: site.version == "2.0.0")


async def test_at_every_moment_of_many_reloads_the_pair_belongs_together(site: Site) -> None:
    stop = False

    async def reader() -> int:
        seen = 0
        while not stop:
            pair = site.policy.current()
            assert pair.identities.keys() == pair.policy.detectors.keys()
            seen += 1
            await asyncio.sleep(0)
        return seen

    reading = asyncio.create_task(reader())
    for number in range(12):
        if number % 3:
            site.write(f"{number}.0.0")
        else:
            site.path.write_text("half: [")
        await site.policy.reload()
    stop = True
    assert await reading > 12
    assert site.version == "11.0.0"


async def test_nothing_is_served_without_a_policy(tmp_path: Path) -> None:
    for how, error in (("empty", FileErrors), (NO_HOST, ConfigError), ("gone", ConfigError)):
        site = Site(tmp_path)
        broken(site.path, how)
        with pytest.raises(error):
            await site.policy.load_first()
        assert site.log.records == []
    site = Site(tmp_path)
    site.log.fail_from = 0
    with pytest.raises(Unavailable):
        await site.policy.load_first()


async def test_a_guard_that_cannot_work_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path)
    broken(site.path, NO_HOST)
    with pytest.raises(ConfigError) as error:
        await site.policy.load_first()
    assert error.value.code == "guard_unusable"
    assert "starter_injection" in error.value.message


BY_MODEL = POLICY.replace("{use: secrets}", "{use: USE, threshold: 0.5}").replace("{count: {gte: 1}}", "{unsafe: true}")


async def test_a_guard_on_a_server_can_join_with_a_reload_and_is_named_in_full(tmp_path: Path) -> None:
    """Nothing has to be started for it, so a restart would be for nothing."""
    profile = PROFILES["starter_injection"]
    assert isinstance(profile, Profile)
    directory = write_model(tmp_path / "model", profile)
    guards = {**shipped(), "house": GuardSettings("house", profile, directory, url="http://vllm/v1", model="org/m")}
    async with httpx.AsyncClient() as client:
        source = ModelSource(directory, client, "org/m", False, "http://vllm", profile)
        site = Site(tmp_path, None, guards, house=source)
        await site.policy.load_first()
        site.path.write_text(BY_MODEL.replace("VERSION", "2.0.0").replace("USE", "house"))
        await site.policy.reload()
    pair = site.policy.current()
    assert site.version == "2.0.0"
    assert pair.profiles == {"creds": profile}
    identity = pair.identities["creds"]
    assert (identity.use, identity.profile, identity.model) == ("house", "starter_injection", "org/m")
    assert identity.weights.startswith("sha256:")


@pytest.mark.parametrize(
    ("use", "told"),
    [("starter_injection", "a restart loads it"), ("llama_guard_4", "not configured; name its model under `guards:`")],
)
async def test_a_reload_says_why_a_guard_is_not_there(
    tmp_path: Path, use: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path)
    await site.policy.load_first()
    site.path.write_text(BY_MODEL.replace("VERSION", "2.0.0").replace("USE", use))
    await site.policy.reload()
    assert site.version == "1.0.0"
    assert site.types() == ["policy.load", "policy.reject"]
    assert told in capsys.readouterr().out


async def test_equal_bytes_are_one_policy_wherever_the_models_lie(tmp_path: Path) -> None:
    """The digest says what was decided by, not where it ran."""
    profile = PROFILES["starter_injection"]
    digests = set()
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        assert isinstance(profile, Profile)
        directory = write_model(tmp_path / place / "model", profile)
        async with httpx.AsyncClient() as client:
            guards = {"house": GuardSettings("house", profile, directory, url=f"http://{place}/v1", model=place)}
            source = ModelSource(directory, client, place, False, f"http://{place}", profile)
            site = Site(tmp_path / place, None, guards, house=source)
            site.path.write_text(BY_MODEL.replace("VERSION", "2.0.0").replace("USE", "house"))
            await site.policy.load_first()
        digests.add(site.policy.current().policy.digest)
    assert len(digests) == 1


async def test_what_its_guards_remember_is_in_the_metrics_and_gone_after_a_reload(tmp_path: Path) -> None:
    profile = PROFILES["starter_injection"]
    assert isinstance(profile, Profile)
    directory = write_model(tmp_path / "m", profile)
    host = ClassifyHost("m", write_manifest(directory), lambda ids: [0.5, 0.5])
    site = Site(tmp_path, starter_injection=ModelSource(directory, host.client(), "m"))
    detectors = "{creds: {use: secrets}, injection: {use: starter_injection, threshold: 0.9}}"
    rule = "rules:\n  - {id: inject, on: [user], when: {injection: {unsafe: true}}, do: {block: {code: attack}}}"
    policy = POLICY.replace("VERSION", "1.0.0").replace("{creds: {use: secrets}}", detectors)
    site.path.write_text(policy.replace("rules:", rule))
    await site.policy.load_first()
    guard = site.policy.current().panel.memories["injection"]
    for _ in range(3):
        await guard.judge([Part(Scope.USER, "/messages/0/content", "user", "hello")])

    def seen(name: str, of: str) -> float | None:
        labels = {"detector": "injection", "of": of}
        return site.metrics.registry.get_sample_value(f"gatehouse_guard_memory_{name}", labels)

    assert (seen("hits_total", "part"), seen("misses_total", "part"), seen("entries", "part")) == (2, 1, 1)
    assert seen("entries", "window") == 1
    await site.policy.reload()
    assert (seen("hits_total", "part"), seen("entries", "part")) == (0, 0)


async def test_every_policy_that_was_in_force_is_kept_by_its_digest(site: Site, tmp_path: Path) -> None:
    """And only those: one that was rejected never decided anything."""
    site.write("2.0.0")
    await site.policy.reload()
    site.path.write_text("gatehouse: policy/v1\n")
    await site.policy.reload()
    loaded = [record["policy"]["src_digest"] for record in site.log.records if record["type"] == "policy.load"]
    assert all(copy_of(tmp_path / "policies", digest) for digest in loaded)
    assert len(list((tmp_path / "policies").iterdir())) == len(loaded) == 2


async def test_a_policy_that_keeps_text_needs_its_class_here(tmp_path: Path) -> None:
    site = Site(tmp_path)
    await site.policy.load_first()
    keeps = POLICY.replace("VERSION", "2.0.0") + "defaults: {audit: {content: sealed, retention: hipaa-6y}}\n"
    site.path.write_text(keeps)
    await site.policy.reload()
    assert (site.version, site.reloads("rejected")) == ("1.0.0", 1)
    assert site.types()[-1] == "policy.reject"
    records = Records(site.log, site.metrics)  # type: ignore[arg-type] # a double
    for classes, is_fine in (((), False), (("default",), False), (("default", "hipaa-6y"), True)):
        policy = PolicyInForce(FileSource(site.path), PolicyBuilder(SHIPPED, {}, classes=classes), records, Metrics())
        if is_fine:
            await policy.load_first()
            assert policy.current().policy.audit.retention == "hipaa-6y"
            continue
        with pytest.raises(ConfigError) as error:
            await policy.load_first()
        assert error.value.code == "content_not_configured"
