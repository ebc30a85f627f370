"""Pictures are judged where the checkpoint's template puts them, over the real model host as transformers would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from engine.tokens import TextTokenizer
from engine.vision.prompt import PictureFormat
from engine.vision.tiles import Picture, cut
from guards.errors import GuardError
from guards.generative.guard import GenerativeGuard, build
from guards.registry import ModelSource
from guards.verdict import Context, Part, Scope, Turn
from tests.engine.host_process import HostProcess
from tests.engine.vision import seeing
from tests.engine.vision.seeing import encoded, noise, url
from tests.guards.generative.seeing_guard import USE, seeing_guard, write_seeing_guard
from tests.guards.generative.stand_ins import ChatHost, CompletionsHost, llama_guard, profile_of

PATH = "/messages/2/content/1/image_url/url"
CONTEXT = Context(
    (
        Turn("user", "/messages/0", "what is a bomb?"),
        Turn("assistant", "/messages/1", "a thing"),
        Turn("user", "/messages/2", "like this <|image|> one?"),
    )
)


def picture(seed: int = 1, path: str = PATH) -> Part:
    return Part(Scope.IMAGE, path, "user", "", picture=url(encoded(noise(40, 24, seed))))


class Live:
    """A guard's host, and transformers' model."""

    def __init__(self, directory: Path, host: HostProcess, model: Any) -> None:
        self.directory, self.host, self.model = directory, host, model
        self.tokenizer = TextTokenizer.from_file(directory / "tokenizer.json")

    @asynccontextmanager
    async def guard(self, **options: object) -> AsyncIterator[GenerativeGuard]:
        transport = httpx.AsyncHTTPTransport(uds=str(self.host.socket))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            yield build(profile_of(USE), options, ModelSource(self.directory, client, USE))

    def score(self, text: str, shown: Picture) -> float:
        """Of a conversation whose last message begins with a picture, as transformers sees it."""
        ids: list[int] = []
        form = PictureFormat(self.tokenizer, seeing.PATCHES)
        for piece in text.split("<|PICTURE|>"):
            ids += form.place(shown)[0] if ids else []
            ids += self.tokenizer._whole.encode(piece, add_special_tokens=False).ids
        first, second = self.probabilities(ids, shown), self.probabilities([*ids, self.id("\n\n")], shown)
        unsafe = first["unsafe"] + first["\n\n"] * second["unsafe"]
        safe = first["safe"] + first["\n\n"] * second["safe"]
        return unsafe / (unsafe + safe)

    def id(self, word: str) -> int:
        (found,) = self.tokenizer._whole.encode(word, add_special_tokens=False).ids
        return int(found)

    def probabilities(self, ids: list[int], shown: Picture) -> dict[str, float]:
        patch = self.model.config.image_token_index
        tokens = torch.tensor([[patch if one < 0 else one for one in ids]])
        pixels = (shown.tiles.float() / 255 - 0.5) / 0.5
        with torch.inference_mode():
            logits = self.model(input_ids=tokens, pixel_values=pixels, use_cache=False).logits[0, -1]
        shares = logits.double().softmax(-1)
        return {word: float(shares[self.id(word)]) for word in ("safe", "unsafe", "\n\n")}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    directory = tmp_path_factory.mktemp("guard")
    model = seeing_guard(directory)
    listed = [{"name": USE, "path": str(directory), "task": "generate", "role": "guard"}]
    host = HostProcess(tmp_path_factory.mktemp("s"), listed)
    try:
        host.wait_until(200)
        yield Live(directory, host, model)
    finally:
        host.close()


async def test_scores_are_those_of_transformers_and_depend_on_the_pixels(live: Live) -> None:
    async with live.guard(categories_from=1.0) as guard:
        one, other = await guard.judge([picture(1), picture(2)], CONTEXT)
        shape = guard._pictures._template.shape
        views = [
            shape(1, has_picture=True).filled(["like this < |image|> one?"]),
            shape(3, has_picture=True).filled(["what is a bomb?", "a thing", "like this < |image|> one?"]),
        ]
    for verdict, seed in ((one, 1), (other, 2)):
        shown = cut(noise(40, 24, seed), seeing.SIDE)
        scores = [live.score(view.replace("<|image|>", "<|PICTURE|>"), shown) for view in views]
        assert verdict.score_ppm / 1e6 == pytest.approx(max(scores), abs=1e-4)
        assert verdict.view == ("alone" if scores[0] >= scores[1] else "conversation")
    assert one.score_ppm != other.score_ppm


async def test_texts_and_pictures_of_one_request_and_their_categories(live: Live) -> None:
    text = Part(Scope.USER, "/messages/2/content/0/text", "user", "like this one?")
    async with live.guard(categories_from=0.0) as guard:
        together = await guard.judge([text, picture(1), picture(2)], CONTEXT)
        alone = [(await guard.judge([part], CONTEXT))[0] for part in (text, picture(1), picture(2))]
    for one, other in zip(together, alone, strict=True):
        assert one.score_ppm == pytest.approx(other.score_ppm, abs=100)
        assert [score for _, score in one.categories] == pytest.approx([s for _, s in other.categories], abs=100)


async def test_a_bad_picture_is_an_error_and_never_safe(live: Live) -> None:
    broken = Part(Scope.IMAGE, PATH, "user", "", picture=url(encoded(noise(9, 9))[:60]))
    async with live.guard() as guard:
        with pytest.raises(GuardError):
            await guard.judge([broken], CONTEXT)
        assert (await guard.judge([picture()], CONTEXT))[0].windows == 1


async def test_a_template_without_a_place_for_pictures_judges_none(tmp_path: Path) -> None:
    write_seeing_guard(tmp_path, shows=False)
    host = CompletionsHost(tmp_path, llama_guard(lambda _prompt: 0.1, end="<|eot|>"))
    guard = build(profile_of(USE), {}, host.source())
    with pytest.raises(GuardError, match="given an image"):
        await guard.judge([picture()], CONTEXT)
    assert host.calls == []


async def test_the_picture_goes_beside_its_message_and_a_server_must_have_read_it(tmp_path: Path) -> None:
    write_seeing_guard(tmp_path)
    host = CompletionsHost(tmp_path, llama_guard(lambda _prompt: 0.1, end="<|eot|>"))
    guard = build(profile_of(USE), {}, host.source())
    with pytest.raises(GuardError, match="tokens it was sent"):
        await guard.judge([picture()], CONTEXT)
    host.change = lambda answer: answer["usage"].update(prompt_tokens=answer["usage"]["prompt_tokens"] + 4 * 20)
    await guard.judge([picture()], CONTEXT)
    call = host.calls[1]  # after the one that failed
    assert call["images"] == [{"at": call["images"][0]["at"], "url": picture().picture}]
    before, after = (
        host.text(call["prompt"][0][slice(*ends)])
        for ends in ((0, call["images"][0]["at"]), (call["images"][0]["at"], None))
    )
    assert before.endswith("<BEGIN CONVERSATION>\nUser: ")
    assert after.startswith("like this < |image|> one?")


@pytest.mark.parametrize(("unsafe", "codes"), [(0.75, ("S9", "S2")), (0.01, ())])
async def test_a_server_elsewhere_is_told_the_conversation(
    tmp_path: Path, unsafe: float, codes: tuple[str, ...]
) -> None:
    """It puts the prompt together itself; the score is that of the same model asked with ids, greedy way and all."""
    write_seeing_guard(tmp_path)
    think = llama_guard(lambda _prompt: unsafe, codes, end="<|eot|>")
    host = ChatHost(tmp_path, think, is_ours=False)
    verdict = (await build(profile_of(USE), {}, host.source()).judge([picture()], CONTEXT))[0]
    assert verdict.score_ppm == pytest.approx(unsafe * 1e6, abs=10)
    assert {code for code, value in verdict.categories if value} == set(codes)
    alone, whole = host.calls
    shown = {"type": "image_url", "image_url": {"url": picture().picture}}
    last = {"role": "user", "content": [shown, {"type": "text", "text": "like this < |image|> one?"}]}
    assert alone["messages"] == [last]
    assert [message["role"] for message in whole["messages"]] == ["user", "assistant", "user"]
    assert whole["messages"][-1] == last
    assert (alone["max_tokens"], alone["temperature"], alone["top_logprobs"]) == (40, 0, 20)


async def test_of_a_server_without_probabilities_the_text_counts(tmp_path: Path) -> None:
    write_seeing_guard(tmp_path)
    host = ChatHost(tmp_path, llama_guard(lambda _prompt: 0.75, end="<|eot|>"), is_ours=False)
    guard = build(profile_of(USE), {"mode": "generate"}, host.source())
    assert (await guard.judge([picture()]))[0].score_ppm == 1_000_000
    assert "logprobs" not in host.calls[0]


async def test_a_server_that_does_not_see_or_is_asked_by_choice_gives_no_verdict(tmp_path: Path) -> None:
    write_seeing_guard(tmp_path)
    host = ChatHost(tmp_path, llama_guard(lambda _prompt: 0.1, end="<|eot|>"), is_ours=False, seen=0)
    with pytest.raises(GuardError, match="read a picture"):
        await build(profile_of(USE), {}, host.source()).judge([picture()])
    host.seen, host.status = 200, 400
    with pytest.raises(GuardError, match="answered 400"):
        await build(profile_of(USE), {}, host.source()).judge([picture()])
    host.status, host.calls = 200, []
    with pytest.raises(GuardError, match="choice of categories"):
        await build(profile_of(USE), {"exclude": ["S1"]}, host.source()).judge([picture()])
    assert host.calls == []


async def test_a_picture_alone_and_one_beside_a_very_long_text(tmp_path: Path) -> None:
    write_seeing_guard(tmp_path)
    host = CompletionsHost(tmp_path, llama_guard(lambda _prompt: 0.1, end="<|eot|>"))
    host.change = lambda answer: answer["usage"].update(
        prompt_tokens=answer["usage"]["prompt_tokens"] + len(answer["choices"]) * 20
    )
    guard = build(profile_of(USE), {}, host.source())
    await guard.judge([picture(path="/messages/0/content/0/image_url/url")])
    assert len(host.calls[-1]["prompt"]) == 2
    long = Context((Turn("user", "/messages/0", "a word and " * 4000),))
    await guard.judge([picture(path="/messages/0/content/0/image_url/url")], long)
    assert len(host.calls[-1]["prompt"][0]) < 8192 - 2467
