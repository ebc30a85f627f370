"""A worker works by what its lead read, never by what the file says by now."""

from __future__ import annotations

from pathlib import Path

from gateway.reach import open_reach
from gateway.worker.lead import EverybodysModels
from tests.doubles import eventually
from tests.gateway.worker.led import ANN, CONFIG, Worker, house, working


async def test_the_configuration_is_the_leads_and_not_the_files(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _):
        (tmp_path / "gatehouse.yaml").write_text(CONFIG.replace("k1", "k9"))
        async with working(made) as worker:
            assert [entry.caller.key_id for entry in worker.site.config.keys] == ["k1"]
            assert worker.site.config.state == tmp_path / "var"
            assert list(worker.site.reach.probes()) == ["engine"]


async def test_a_lead_that_works_by_another_one_ends_the_process(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        await lead.close(0)
        (tmp_path / "gatehouse.yaml").write_text(CONFIG.replace("k1", "k9"))
        (tmp_path / "other").mkdir()
        async with house(tmp_path / "other") as (other, _):
            worker.link._path = other.socket
            await eventually(lambda: worker.ends == ["changed"])
            assert not worker.link.is_up


async def test_a_configuration_that_cannot_be_used_is_no_reason_to_begin(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _):
        made.config.policy.path.unlink()
        worker = Worker(made)
        await eventually(lambda: not worker.link.joined.is_set())
        await worker.close()


async def test_models_that_come_and_go_do_so_everywhere(tmp_path: Path) -> None:
    async with house(tmp_path, engine="{starter: true}") as (made, lead), working(made, 1) as one:
        own = await open_reach(made.config, "", one.stack)
        models = EverybodysModels(own.engines, lead)
        models.serve("gatehouse-starter:clinic")
        async with working(made, 2) as two:
            await one.door.enter(ANN, "a")
            for reach in (own, one.site.reach, two.site.reach):
                assert "gatehouse-starter:clinic" in await reach.engines.models()
            models.drop("gatehouse-starter:clinic")
            for worker in (one, two):
                await worker.door.enter(ANN, "b")
                assert list(await worker.site.reach.engines.models()) == ["gatehouse-starter"]
