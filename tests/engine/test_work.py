"""The lanes that exist are what the loop expects of a lane."""

from __future__ import annotations

from engine.batching import ClassifyLane
from engine.kv_cache import KvCache
from engine.scheduler import GenerateLane
from engine.work import Lane
from tests.engine.stand_ins import LengthJudge, ScriptedRunner, small_config


def test_an_idle_lane_has_no_work_and_nothing_pending() -> None:
    lanes: list[Lane] = [
        ClassifyLane(LengthJudge()),
        GenerateLane(ScriptedRunner(), KvCache(small_config(), 10), 10),
    ]
    for lane in lanes:
        assert lane.next(0.0) is None
        assert lane.pending == 0
