"""`/classify` of a real process gives transformers' own scores: alone, together, in any order, from many at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import torch

from tests.engine.classifiers import families_of
from tests.engine.host_process import HostProcess

MODELS: dict[str, Any] = {
    "deberta": families_of.deberta(),
    "roberta": families_of.of("roberta"),
    "modernbert": families_of.of("modernbert"),
}
INPUTS = families_of.texts((1, 3, 16, 17, 30, 30, 47, 60, 64), seed=4)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    specs = []
    for name, model in MODELS.items():
        path = families_of.saved(model, tmp_path_factory.mktemp(name))
        specs.append({"name": name, "path": str(path), "task": "classify", "precision": "fp32"})
    process = HostProcess(tmp_path_factory.mktemp("s"), specs)
    try:
        process.wait_until(200)
        yield process
    finally:
        process.close()


def scores(host: HostProcess, name: str, inputs: list[list[int]]) -> torch.Tensor:
    answer = host.post("/classify", model=name, input=inputs)
    assert answer.status_code == 200, answer.text
    return torch.tensor([row["probs"] for row in answer.json()["data"]])


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_transformers_however_they_are_asked_for(host: HostProcess, name: str) -> None:
    wanted = families_of.logits(MODELS[name], INPUTS).softmax(-1)
    order = random.Random(5).sample(range(len(INPUTS)), len(INPUTS))

    together = scores(host, name, INPUTS)
    shuffled = scores(host, name, [INPUTS[index] for index in order])
    twice = scores(host, name, [*INPUTS, *INPUTS])
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda ids: scores(host, name, [ids]), [INPUTS[index] for index in order * 3]))

    assert (together - wanted).abs().max() < 1e-4
    assert (shuffled - wanted[order]).abs().max() < 1e-4
    assert (twice - wanted.repeat(2, 1)).abs().max() < 1e-4
    assert (torch.cat(alone) - wanted[order].repeat(3, 1)).abs().max() < 1e-4
    assert host.pending() == 0


@pytest.mark.parametrize(("name", "longest"), [("deberta", 512), ("roberta", 64), ("modernbert", 66)])
def test_fact_12_one_token_too_many_is_a_400(host: HostProcess, name: str, longest: int) -> None:
    whole, too_long = families_of.texts((longest, longest + 1))
    answer = host.post("/classify", model=name, input=[[5], too_long])

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert scores(host, name, [whole]).shape == (1, 2)


def test_a_client_that_leaves_leaves_nothing_behind(host: HostProcess) -> None:
    with pytest.raises(httpx.ReadTimeout):
        host.client.post("/classify", json={"model": "deberta", "input": families_of.texts([512] * 64)}, timeout=0.05)
    assert scores(host, "deberta", INPUTS[:2]).shape == (2, 2)
    until = time.monotonic() + 20
    while host.pending() and time.monotonic() < until:
        time.sleep(0.05)
    assert host.pending() == 0
