"""A long text in little memory: every position scored as by a full pass, and one that is too long refused clearly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.config import read_config
from engine.errors import BadRequest
from engine.events import Finished, GenerateRequest, Grown, Sampling
from engine.kv_cache import KvCache
from engine.runner import ModelRunner
from engine.scheduler import GenerateLane
from engine.sequence import Sequence
from engine.weights import load_weights
from tests.engine import tiny
from tests.engine.model_cases import prompt
from tests.engine.stand_ins import Heard, LetterTokenizer

PROMPT, ANSWER, CHUNK = 2370, 30, 16


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama4(tmp_path_factory.mktemp("long"), max_position_embeddings=4096, attention_chunk_size=CHUNK)


def test_every_position_of_a_text_of_150_chunks_scores_as_in_a_full_pass(directory: Path) -> None:
    """The memory would hold 660 positions, were all of them kept in all four layers."""
    config = read_config(directory)
    cache = KvCache(config, 660)
    lane = GenerateLane(ModelRunner(config, load_weights(directory, config)), cache, config.max_positions)
    heard, ids = Heard(), tuple(prompt(PROMPT))
    sampling = Sampling(temperature=0, logprobs=0)
    request = GenerateRequest(ids, ANSWER, 1e9, sampling, echo="", ignores_end=True)
    lane.add([Sequence(request, LetterTokenizer(), frozenset(), heard)])
    held = 0
    while (work := lane.next(0)) is not None:
        work.run()
        held = max(held, cache.held)
    assert isinstance(heard.end, Finished)
    drawn = [one for event in heard.events if isinstance(event, Grown) for one in event.tokens]

    whole = torch.tensor([[one.token for one in drawn]])
    with torch.inference_mode():
        rows = tiny.oracle(directory)(whole, use_cache=False).logits[0].log_softmax(-1)
    expected = rows[:-1].gather(1, whole[0, 1:, None])[:, 0]
    found = torch.tensor([one.logprob for one in drawn[1:]])
    assert len(drawn) == PROMPT + ANSWER
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert held <= cache.layout.needed(PROMPT + ANSWER)
    assert cache.held == 0


def test_what_is_longer_than_the_memory_is_refused_with_both_numbers(directory: Path) -> None:
    config = read_config(directory)
    lane = GenerateLane(
        ModelRunner(config, load_weights(directory, config)), KvCache(config, 320), config.max_positions
    )
    assert lane.max_model_len == (320 // 16 * 4 - 3) * 16
    with pytest.raises(BadRequest) as caught:
        lane.check(GenerateRequest((9,) * 1000, 233, 1e9))
    assert caught.value.code == "context_length_exceeded"
    assert "1000 prompt tokens and max_tokens 233 make 1233 positions" in caught.value.problem
    assert "1232" in caught.value.problem
    lane.check(GenerateRequest((9,) * 1000, 232, 1e9))
