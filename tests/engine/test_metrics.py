"""Numbers of the engine in Prometheus' text form, one label only: the model."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from engine.batching import ClassifyJob, ClassifyLane
from engine.events import GenerateRequest, Sampling
from engine.host import ServedClassifier, ServedGenerator
from engine.kv_cache import KvCache
from engine.loop import EngineLoop
from engine.metrics import exposition
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from engine.spec import ModelSpec
from tests.engine.stand_ins import Heard, LengthJudge, LetterTokenizer, ScriptedRunner, small_config


class Model:
    """The part of a Generator that is read here."""

    def __init__(self, lane: GenerateLane) -> None:
        self.lane = lane


def numbers(loop: EngineLoop, *served: ServedClassifier | ServedGenerator) -> dict[tuple[str, ...], float]:
    text = exposition(loop, served).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_models_did_and_do_is_told() -> None:
    lane = GenerateLane(ScriptedRunner(), KvCache(small_config(), 96), 96)
    judge = ClassifyLane(LengthJudge())
    guard = ServedGenerator(ModelSpec("g", Path("x"), "generate", role="guard"), "d", Model(lane))  # type: ignore[arg-type]
    spec = ModelSpec("c", Path("x"), "classify")
    classifier = ServedClassifier(spec, "d", None, None, judge)  # type: ignore[arg-type]
    for _ in range(2):
        request = GenerateRequest(tuple(range(20)), 2, 1e9, Sampling(temperature=0))
        lane.add([Sequence(request, LetterTokenizer(), frozenset(), Heard())])
        while (work := lane.next(0)) is not None:
            work.run()

    judge.add([ClassifyJob((1,) * length, 1e9, lambda _: None) for length in (5, 5, 7)])
    assert judge.next(0)

    found = numbers(EngineLoop([judge, lane], []), guard, classifier)

    assert found["engine_computed_tokens_total", "g"] == 21 + 2
    assert found["engine_reused_tokens_total", "g"] == 19
    assert found["engine_steps_total", "g"] == 4
    assert found["engine_kv_blocks", "g"] == 6
    assert found["engine_kv_blocks_held", "g"] == 0
    assert found["engine_kv_blocks_kept", "g"] > 0
    assert found["engine_step_tokens_bucket", "1.0", "g"] == 3
    assert found["engine_step_tokens_bucket", "+Inf", "g"] == 4
    assert (found["engine_queue_depth", "g"], found["engine_queue_depth", "c"]) == (0, 0)
    assert found["engine_computed_tokens_total", "c"] == 5 + 7
    assert found["engine_reused_tokens_total", "c"] == 5, "the same text twice"
    assert found["engine_steps_total", "c"] == 1
    assert found["engine_busy_seconds_total", "c"] == 0
