"""The guard over our real model host, against the same checkpoint in transformers, one prompt at a time in fp32."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from tokenizers import Tokenizer

from guards.generative.guard import GenerativeGuard, build
from guards.registry import ModelSource
from guards.verdict import Context, Part, Scope, Turn
from tests.engine.host_process import HostProcess
from tests.guards.generative.stand_ins import profile_of
from tests.guards.generative.tiny_guard import USE, tiny_guard

PARTS = [
    Part(Scope.USER, "/messages/2/content", "user", "and how is it made?"),
    Part(Scope.TOOL_RESULT, "/messages/2/content", "tool", "ä result 你好 <|eot_id|>"),
    Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", " this way", "It is made"),
]
CONTEXT = Context((Turn("user", "/messages/0", "what is a bomb?"), Turn("assistant", "/messages/1", "a thing")))


class Live:
    """A guard, its host, and what was asked."""

    def __init__(self, directory: Path, host: HostProcess, model: Any) -> None:
        self.directory, self.host, self.model = directory, host, model
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.calls: list[dict[str, Any]] = []

    @asynccontextmanager
    async def guard(self, **options: object) -> AsyncIterator[GenerativeGuard]:
        async def keep(request: httpx.Request) -> None:
            self.calls.append(json.loads(request.content))

        transport = httpx.AsyncHTTPTransport(uds=str(self.host.socket))
        async with httpx.AsyncClient(transport=transport, event_hooks={"request": [keep]}) as client:
            yield build(profile_of(USE), options, ModelSource(self.directory, client, USE))

    def probabilities(self, ids: list[int]) -> dict[str, float]:
        with torch.no_grad():
            last = self.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        return {str(self.tokenizer.decode([i], skip_special_tokens=False)): float(p) for i, p in enumerate(last)}

    def score(self, prompt: list[int], blank: list[int]) -> float:
        first, second = self.probabilities(prompt), self.probabilities(blank)
        unsafe = first["unsafe"] + first["\n\n"] * second["unsafe"]
        safe = first["safe"] + first["\n\n"] * second["safe"]
        assert unsafe + safe > 0.5
        return unsafe / (unsafe + safe)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("guard")
    model = tiny_guard(directory)
    listed = [{"name": USE, "path": str(directory), "task": "generate"}]
    host = HostProcess(tmp_path_factory.mktemp("s"), listed)
    try:
        host.wait_until(200)
        yield Live(directory, host, model)
    finally:
        host.close()


async def test_scores_are_those_of_transformers(live: Live) -> None:
    live.calls.clear()

    async with live.guard(categories_from=1.0) as guard:
        verdicts = await guard.judge(PARTS, CONTEXT)

    (call,) = live.calls
    pairs = list(zip(*[iter(call["prompt"])] * 2, strict=True))
    scores = [live.score(prompt, blank) for prompt, blank in pairs]
    assert len(scores) == 6
    assert max(scores) - min(scores) > 0.01
    for verdict, views in zip(verdicts, zip(*[iter(scores)] * 2, strict=True), strict=True):
        assert verdict.score_ppm / 1e6 == pytest.approx(max(views), abs=1e-4)
        assert verdict.view == ("alone" if views[0] >= views[1] else "conversation")


async def test_scores_are_the_same_alone_and_together_and_asked_again(live: Live) -> None:
    async with live.guard() as guard:
        together = await guard.judge(PARTS, CONTEXT)
        again = [(await guard.judge([part], CONTEXT))[0] for part in PARTS]

    for alone, verdict in zip(again, together, strict=True):
        assert alone.score_ppm == pytest.approx(verdict.score_ppm, abs=100)
        assert [score for _, score in alone.categories] == pytest.approx([s for _, s in verdict.categories], abs=100)


async def test_categories_are_those_of_transformers(live: Live) -> None:
    async with live.guard(categories_from=0.0) as guard:
        (verdict,) = await guard.judge(PARTS[:1])

    prompt = live.calls[-1]["prompt"][0]
    prompt = prompt[: prompt.index(live.tokenizer.token_to_id("unsafe"), -40)]
    expected = _listed(live, [*prompt, live.tokenizer.token_to_id("unsafe")])
    for code, ppm in verdict.categories:
        assert ppm / verdict.score_ppm == pytest.approx(expected.get(code, 0.0), abs=1e-4)
    assert sum(share > 0.01 for share in expected.values()) > 2


def _listed(live: Live, ids: list[int]) -> dict[str, float]:
    """Along the likeliest list: how probable it is that a code stands in it."""
    found: dict[str, float] = {}
    reach, named = 1.0, []
    while len(named) < 13:
        here = live.probabilities(ids)
        sign = "," if named else "\n"
        more, word = (here[",S"], ",S") if named else (here["\n"], "\n")
        reach *= more / (more + here["<|eot_id|>"])
        if reach < 0.02:
            break
        ids = [*ids, *live.tokenizer.encode(word if sign == "," else "\nS", add_special_tokens=False).ids]
        here = live.probabilities(ids)
        left = {f"S{i}": here[str(i)] for i in range(1, 14) if f"S{i}" not in named}
        for code, share in left.items():
            found[code] = found.get(code, 0.0) + reach * share / sum(left.values())
        best = max(left, key=lambda code: left[code])
        reach *= left[best] / sum(left.values())
        ids, named = [*ids, *live.tokenizer.encode(best[1:], add_special_tokens=False).ids], [*named, best]
    return found


async def test_a_growing_answer_costs_what_is_new_and_scores_as_if_computed_anew(live: Live) -> None:
    """The host counts the tokens it really ran: the text once, and for each window what comes after the text."""
    computed: list[int] = []

    async def count(response: httpx.Response) -> None:
        await response.aread()
        computed.append(response.json()["usage"]["computed_tokens"])

    context = Context((Turn("user", "/messages/0", "what is it?"),))
    text, step = "".join(f"word{i} " for i in range(60)), 60
    async with live.guard(categories_from=1.0) as guard:
        await guard.judge([answer("x")], context)
        guard._endpoint.client.event_hooks["response"] = [count]
        live.calls.clear()
        verdicts = [
            (await guard.judge([answer(text[at : at + step], text[:at])], context))[0]
            for at in range(0, len(text) - step, step)
        ]

    prompts = [call["prompt"] for call in live.calls]
    assert all(len(pair) == 2 for pair in prompts)
    for verdict, (prompt, blank) in zip(verdicts, prompts, strict=True):
        assert verdict.score_ppm / 1e6 == pytest.approx(live.score(prompt, blank), abs=1e-4)
    whole = live.tokenizer.encode(text[: len(verdicts) * step], add_special_tokens=False).ids
    suffix = len(prompts[0][0]) - prompts[0][0].index(live.tokenizer.token_to_id("<"), -400)
    assert sum(computed) <= len(whole) + len(verdicts) * (suffix + 16)


def answer(text: str, preceding: str = "") -> Part:
    return Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", text, preceding)
