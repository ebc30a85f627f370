"""Only an answer that is whole, well-formed and of somebody who has seen the picture counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from guards.errors import ErrorKind, GuardError
from guards.generative.chat_endpoint import ChatEndpoint, Place, Said
from guards.generative.pictured import Shown
from guards.generative.scoring import AnswerTree, Node

SHOWN = Shown(3, "data:image/png;base64,AA==", ("what?", "", "this?"))
Answer = dict[str, Any]


def entry(token: str, logprob: float) -> Answer:
    return {"token": token, "logprob": logprob, "bytes": None}


def healthy() -> Answer:
    first = {**entry("\n\n", -0.1), "top_logprobs": [entry("\n\n", -0.1), entry("safe", -3.0)]}
    second = {**entry("safe", -0.2), "top_logprobs": [entry("safe", -0.2), entry("unsafe", -2.0)]}
    choice = {"index": 0, "message": {"content": "\n\nsafe"}, "logprobs": {"content": [first, second]}}
    return {"model": "m", "usage": {"prompt_tokens": 250}, "choices": [choice]}


async def asked(change: Callable[[Answer], object] = lambda _: None, is_scored: bool = True) -> tuple[Said, Answer]:
    answer, questions = healthy(), []
    change(answer)

    def respond(request: httpx.Request) -> httpx.Response:
        questions.append(json.loads(request.content))
        return httpx.Response(200, content=json.dumps(answer))

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
        said = await ChatEndpoint("g", client, "http://h/v1", "m", "sha256:a").asked(SHOWN, 100, 40, is_scored)
    return said, questions[0]


async def test_the_picture_begins_the_last_turn_and_each_place_has_its_probabilities() -> None:
    said, question = await asked()
    assert [message["role"] for message in question["messages"]] == ["user", "assistant", "user"]
    assert [part["type"] for part in question["messages"][-1]["content"]] == ["image_url", "text"]
    assert said.text == "\n\nsafe"
    assert [place.token for place in said.places] == ["\n\n", "safe"]
    assert said.places[1].told["unsafe"] == pytest.approx(0.1353, abs=1e-4)


async def test_without_probabilities_the_text_is_all() -> None:
    said, question = await asked(lambda answer: answer["choices"][0].pop("logprobs"), is_scored=False)
    assert (said.places, "logprobs" in question) == ((), False)


def set_share(value: object) -> Callable[[Answer], object]:
    def change(answer: Answer) -> None:
        answer["choices"][0]["logprobs"]["content"][1]["top_logprobs"][0]["logprob"] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.update(model="n"),
        lambda answer: answer.update(weights="sha256:b"),
        lambda answer: answer.update(usage=None),
        lambda answer: answer["usage"].update(prompt_tokens=100),
        lambda answer: answer["usage"].update(prompt_tokens="250"),
        lambda answer: answer.update(choices=[]),
        lambda answer: answer.update(choices=answer["choices"] * 2),
        lambda answer: answer["choices"][0].update(message={"content": None}),
        lambda answer: answer["choices"][0].update(logprobs=None),
        lambda answer: answer["choices"][0].update(logprobs={"content": []}),
        lambda answer: answer["choices"][0].update(logprobs={"content": [7]}),
        lambda answer: answer["choices"][0]["logprobs"]["content"][0].update(token=3),
        set_share(float("nan")),
        set_share(0.5),
        set_share(0.0),
        set_share(None),
        set_share(True),
    ],
)
async def test_anything_else_is_no_answer(change: Callable[[Answer], object]) -> None:
    with pytest.raises(GuardError) as caught:
        await asked(change)
    assert caught.value.kind is ErrorKind.BAD_ANSWER


def test_a_place_that_the_model_has_not_passed_tells_nothing() -> None:
    words = {1: "\n\n", 2: "safe", 3: "unsafe"}
    after = Node((1,), ((2, False), (3, True)))
    tree = AnswerTree(Node((), ((2, False), (3, True), (1, after))), ())
    first = Place("\n\n", {"\n\n": 0.9, "safe": 0.1})
    assert Said("", (first, Place("safe", {"safe": 0.8, "unsafe": 0.2}))).at(tree, words) == [
        {2: 0.1, 1: 0.9},
        {2: 0.8, 3: 0.2},
    ]
    assert Said("", (Place("safe", first.told), Place("x", {"safe": 1.0}))).at(tree, words)[1] == {}
    assert Said("", (first,)).at(tree, words)[1] == {}
