"""The whole guard against a scripted server: our wire and vLLM's, every error, and what a verdict says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from guards import registry
from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.guard import GenerativeGuard, build
from guards.verdict import NO_CONTEXT, Context, Guard, Part, Scope, Turn
from tests.guards.generative.stand_ins import CompletionsHost, Think, llama_guard, profile_of, write_guard

USE = "llama_guard_3_8b"
Change = Callable[[dict[str, Any]], object]


def conversation(prompt: str) -> str:
    return prompt.partition("<BEGIN CONVERSATION>")[2].partition("<END CONVERSATION>")[0]


def about_bombs(prompt: str) -> float:
    return 0.9 if "bomb" in conversation(prompt) else 0.02


@pytest.fixture
def host(tmp_path: Path) -> CompletionsHost:
    return CompletionsHost(write_guard(tmp_path, USE), llama_guard(about_bombs, ("S9", "S10")))


def guard(host: CompletionsHost, **options: object) -> GenerativeGuard:
    return build(profile_of(USE), options, host.source())


def user(text: str, at: int = 0) -> Part:
    return Part(Scope.USER, f"/messages/{at}/content", "user", text)


def answer(text: str) -> Part:
    return Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", text)


def told(*turns: tuple[str, str]) -> Context:
    return Context(tuple(Turn(role, f"/messages/{i}", text) for i, (role, text) in enumerate(turns)))


async def test_a_verdict_says_how_unsafe_and_of_which_kind(host: CompletionsHost) -> None:
    bad, good = await guard(host).judge([user("a bomb"), user("a cake")])

    assert (bad.score_ppm, bad.view, bad.windows) == (900_000, "alone", 1)
    categories = dict(bad.categories)
    assert set(categories) == set(profile_of(USE).categories)
    assert categories["S9"] == pytest.approx(900_000 * 0.97 * 0.8, rel=1e-5)
    assert categories["S9"] > categories["S10"] > 400_000 > 100_000 > categories["S2"]
    assert max(categories.values()) <= bad.score_ppm
    assert (good.score_ppm, set(dict(good.categories).values())) == (20_000, {0})


async def test_all_verdicts_take_one_call_and_harmless_text_no_more(host: CompletionsHost) -> None:
    await guard(host).judge([user("a cake"), user("tea"), answer("milk")])

    (call,) = host.calls
    assert len(call["prompt"]) == 6
    assert all(longer == [*shorter, longer[-1]] for shorter, longer in zip(*[iter(call["prompt"])] * 2, strict=True))
    assert call["max_tokens"] == 1
    assert call["temperature"] == 0
    assert len(call["logprob_token_ids"]) == 3


async def test_what_the_host_keeps_of_prompts_is_kept_apart_for_each_tenant(host: CompletionsHost) -> None:
    made = guard(host)
    for tenant in ("clinic", "school", ""):
        await made.judge([user("a cake")], Context(tenant=tenant))

    first, second, without = (call.get("cache_salt") for call in host.calls)
    assert first != second
    assert "clinic" not in first
    assert without is None


async def test_lists_of_several_prompts_are_read_in_the_same_calls(host: CompletionsHost) -> None:
    made = guard(host)
    await made.judge([user("a bomb")])
    one = len(host.calls)
    host.calls.clear()

    await made.judge([user(f"a bomb {i}") for i in range(5)])

    assert len(host.calls) == one


async def test_equal_texts_are_asked_about_once(host: CompletionsHost) -> None:
    verdicts = await guard(host).judge([user("a cake")] * 5)

    assert len(host.calls[0]["prompt"]) == 2
    assert len(set(verdicts)) == 1


async def test_the_worse_of_alone_and_in_its_conversation_counts(tmp_path: Path) -> None:
    def both(prompt: str) -> float:
        return 0.8 if "how" in conversation(prompt) and "bomb" in conversation(prompt) else 0.1

    host = CompletionsHost(write_guard(tmp_path, USE), llama_guard(both))
    context = told(("user", "a bomb is a thing"), ("assistant", "it is"))

    (alone,) = await guard(host).judge([user("how is it made?")])
    (within,) = await guard(host).judge([user("how is it made?", 2)], context)
    (padded,) = await guard(host).judge(
        [user("how is a bomb made?", 2)], told(("user", "hi"), ("assistant", "x" * 500))
    )

    assert (alone.score_ppm, alone.view) == (100_000, "alone")
    assert (within.score_ppm, within.view) == (800_000, "conversation")
    assert (padded.score_ppm, padded.view) == (800_000, "alone")
    (last,) = await guard(host, context="last").judge([user("how is it made?", 2)], context)
    assert (last.score_ppm, last.view) == (100_000, "alone")


async def test_hidden_text_counts_under_the_name_of_its_form(host: CompletionsHost) -> None:
    (verdict,) = await guard(host).judge([user("a bo\u200bmb")])

    assert (verdict.score_ppm, verdict.view) == (900_000, "normalised")


async def test_the_worst_window_of_a_long_text_counts(host: CompletionsHost) -> None:
    made = guard(host, window=4_000)

    (verdict,) = await made.judge([user("tea " * 1_500 + "a bomb " + "tea " * 1_500)])

    assert verdict.score_ppm == 900_000
    assert verdict.windows > 3


@pytest.mark.parametrize("text", ["", "   \n"])
async def test_no_text_is_no_call(host: CompletionsHost, text: str) -> None:
    (verdict,) = await guard(host).judge([user(text)])

    assert (verdict.score_ppm, verdict.windows) == (0, 0)
    assert host.calls == []


async def test_pictures_are_an_error_and_never_safe(host: CompletionsHost) -> None:
    with pytest.raises(GuardError, match="given an image"):
        await guard(host).judge([user("hi"), Part(Scope.IMAGE, "/messages/0/content/1", "user", "")])
    assert host.calls == []


async def test_categories_left_out_are_neither_asked_about_nor_reported(host: CompletionsHost) -> None:
    (verdict,) = await guard(host, categories=["S9"], custom={"X1": "Fishing."}, categories_from=0.95).judge(
        [user("a bomb")]
    )

    assert [code for code, _ in verdict.categories] == ["S9", "X1"]
    assert set(re.findall(r"^([A-Z]\d+): ", host.prompts[0], re.M)) == {"S9", "X1"}


async def test_a_category_that_was_not_asked_about_is_not_read_as_another(host: CompletionsHost) -> None:
    """The model names S9 and S10 all the same. What was asked about gets the little that it had, and no more."""
    (verdict,) = await guard(host, exclude=["S9", "S10"]).judge([user("a bomb")])

    assert verdict.score_ppm == 900_000
    assert not {"S9", "S10"} & {code for code, _ in verdict.categories}
    assert max(score for _, score in verdict.categories) < 50_000


async def test_categories_are_asked_for_from_a_floor_on(host: CompletionsHost) -> None:
    await guard(host, categories_from=0.95).judge([user("a bomb")])

    assert len(host.calls) == 1


def _both(answer: dict[str, Any], value: float) -> None:
    for choice in answer["choices"]:
        top = choice["logprobs"]["top_logprobs"][0]
        for name in top:
            top[name] = value


@pytest.mark.parametrize(
    "change",
    [
        lambda a: _both(a, -5.0),
        lambda a: _both(a, math.nan),
        lambda a: _both(a, 0.5),
        lambda a: _both(a, 0.0),
        lambda a: a["choices"].pop(),
        lambda a: a.update(model="other"),
        lambda a: a.update(weights="sha256:00"),
        lambda a: a.pop("weights"),
        lambda a: a["usage"].update(prompt_tokens=3),
        lambda a: b"x",
        lambda a: b"{}",
    ],
)
async def test_an_answer_that_is_no_verdict_is_an_error_for_the_batch(host: CompletionsHost, change: Change) -> None:
    host.change = change

    with pytest.raises(GuardError) as caught:
        await guard(host).judge([user("a cake"), user("tea")])
    assert caught.value.kind is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(("status", "kind"), [(503, ErrorKind.UNAVAILABLE), (429, ErrorKind.OVERLOAD)])
async def test_a_server_that_does_not_answer_is_an_error(host: CompletionsHost, status: int, kind: ErrorKind) -> None:
    host.status = status

    with pytest.raises(GuardError) as caught:
        await guard(host).judge([user("a cake")])
    assert caught.value.kind is kind


async def test_a_model_that_says_something_else_is_an_error(tmp_path: Path) -> None:
    host = CompletionsHost(write_guard(tmp_path, USE), lambda text: {"\n": 0.6, "safe": 0.2, "unsafe": 0.2})

    with pytest.raises(GuardError, match="on a verdict"):
        await guard(host).judge([user("a cake")])


@pytest.mark.parametrize("is_ours", [True, False])
async def test_the_same_verdict_from_our_host_and_from_vllms_wire(tmp_path: Path, is_ours: bool) -> None:
    host = CompletionsHost(write_guard(tmp_path, USE), llama_guard(about_bombs, ("S9", "S10")), is_ours=is_ours)

    (verdict,) = await guard(host).judge([user("a bomb")])

    assert verdict.score_ppm == 900_000
    assert dict(verdict.categories)["S10"] == pytest.approx(
        900_000 * (0.97 * 0.2 / 13 + 0.97 * 0.8 * 0.9 * 0.8), rel=1e-4
    )
    assert all(("logprob_token_ids" in call) == is_ours for call in host.calls)


class Recorded:
    """A vLLM that answers with a recording, made to fit the number of tokens it was sent."""

    def __init__(self, name: str, ids: Mapping[str, int]) -> None:
        path = Path(__file__).parents[2] / "data" / "vllm" / f"{name}.json"
        self.text = path.read_text()
        for recorded, ours in (("271", "\n\n"), ("19193", "safe"), ("39257", "unsafe")):
            self.text = self.text.replace(f'"token_id:{recorded}"', f'"token_id:{ids[ours]}"')

    def __call__(self, request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        answer = json.loads(self.text)
        answer["usage"]["prompt_tokens"] = sum(map(len, question["prompt"]))
        return httpx.Response(200, json=answer)


@pytest.mark.parametrize("name", ["completion_two_prompts", "completion_logprob_token_ids"])
async def test_the_wire_of_vllm_gives_a_verdict(tmp_path: Path, name: str) -> None:
    directory = write_guard(tmp_path, USE)
    stand_in = CompletionsHost(directory, lambda text: {})
    wire = Recorded(name, {word: stand_in.id_of(word) for word in ("\n\n", "safe", "unsafe")})
    client = httpx.AsyncClient(transport=httpx.MockTransport(wire))
    model = "meta-llama/Llama-Guard-3-8B"
    source = registry.ModelSource(directory, client, model, weights_required=False, url="http://vllm:8000/v1")
    options = {"categories_from": 1.0, "token_ids": name == "completion_logprob_token_ids"}

    (verdict,) = await build(profile_of(USE), options, source).judge([user("x")])

    unsafe = math.exp(-7.2893) + math.exp(-0.0018126) * math.exp(-0.08012)
    safe = math.exp(-7.9143) + math.exp(-0.0018126) * math.exp(-2.58012)
    assert verdict.score_ppm == pytest.approx(1e6 * unsafe / (unsafe + safe), abs=1)


async def test_a_server_without_probabilities_is_read_by_its_words(host: CompletionsHost) -> None:
    made = guard(host, mode="generate")

    bad, good = await made.judge([user("a bomb"), user("a cake")])

    assert (bad.score_ppm, good.score_ppm) == (1_000_000, 0)
    assert [code for code, score in bad.categories if score] == ["S10", "S9"]


async def test_and_words_that_are_no_verdict_are_an_error(tmp_path: Path) -> None:
    host = CompletionsHost(write_guard(tmp_path, USE), lambda text: {"safe": 1.0})

    with pytest.raises(GuardError, match="neither `safe` nor"):
        await guard(host, mode="generate").judge([user("a cake")])


async def test_one_thing_a_prompt_gives_each_its_score(tmp_path: Path) -> None:
    def think(text: str) -> Mapping[str, float]:
        return {"Yes": 0.6, "No": 0.2} if "risk: jailbreak" in text else {"Yes": 0.1, "No": 0.9}

    host = CompletionsHost(write_guard(tmp_path, "granite_guardian_3"), think)
    made = build(profile_of("granite_guardian_3"), {"categories": ["harm", "jailbreak"]}, host.source())

    (verdict,) = await made.judge([user("x")])

    assert verdict.score_ppm == 750_000
    assert verdict.categories == (("harm", 100_000), ("jailbreak", 750_000))
    assert len(host.calls) == 1


@pytest.mark.parametrize(
    ("use", "think", "ppm"),
    [
        ("qwen3guard_gen", lambda text: {" Safe": 0.5, " Unsafe": 0.3, " Controversial": 0.2}, 500_000),
        ("wildguard", lambda text: {" yes": 0.25, " no": 0.75}, 250_000),
        ("llama_guard_1", lambda text: {" safe": 0.6, " unsafe": 0.2, "safe": 0.2}, 200_000),
    ],
)
async def test_guards_with_other_words(tmp_path: Path, use: str, think: Think, ppm: int) -> None:
    host = CompletionsHost(write_guard(tmp_path, use), think)
    made = build(profile_of(use), {"categories_from": 1.0}, host.source())

    for verdict in await made.judge([user("x"), answer("y")], told(("user", "x"))):
        assert verdict.score_ppm == ppm


async def test_a_guard_by_configuration_alone(tmp_path: Path) -> None:
    template = "<s>{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}Verdict:"
    directory = write_guard(tmp_path, "causal_guard", template)
    words = {"safe": [" no"], "unsafe": [" yes"], "bos": "<s>", "names": {"A": "all"}}
    host = CompletionsHost(directory, lambda text: {" yes": 0.3, " no": 0.6} if text.endswith("Verdict:") else {})

    (verdict,) = await build(profile_of("causal_guard"), words, host.source()).judge([user("x")])

    assert verdict.score_ppm == 333_333


def test_the_identity_names_weights_template_and_profile(host: CompletionsHost) -> None:
    found = guard(host).identity

    assert (found.use, found.profile, found.weights) == (USE, USE, host.weights)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found.template)


async def test_the_registry_builds_it(host: CompletionsHost) -> None:
    made: Guard = registry.build(USE, {"exclude": ["S13"]}, {USE: host.source()})

    (verdict,) = await made.judge([user("a cake")], NO_CONTEXT)

    assert "S13" not in dict(verdict.categories)
    with pytest.raises(GuardSetupError, match="`S99`"):
        registry.check(USE, {"exclude": ["S99"]})


async def test_much_text_is_made_ready_beside_the_event_loop(host: CompletionsHost) -> None:
    many = [user(f"tea {i} " * 300) for i in range(8)]

    assert [verdict.score_ppm for verdict in await guard(host).judge(many)] == [20_000] * 8
