"""A service's scores become verdicts, or an error; nothing it leaves out is a pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from guards.errors import ErrorKind, GuardError
from guards.moderation_api import TEXTS_PER_CALL, ModerationGuard
from guards.profiles.moderation_api import moderation_api
from guards.registry import ModelSource, build, identity
from guards.verdict import Part, Scope

PROFILE = moderation_api("filter", {"categories": ["hate", "violence"], "window": 100, "overlap": 20})
Score = Callable[[str], Mapping[str, object]]


class Service:
    """A moderation service that scores with a function and keeps what it was asked."""

    def __init__(self, score: Score) -> None:
        self.score, self.calls = score, list[list[str]]()
        self.status = 200
        self.body: object = None
        self.error: Exception | None = None
        self.flagged: object = False

    def guard(self) -> ModerationGuard:
        return ModerationGuard(PROFILE, self.client(), "http://filter/v1", "filter-2")

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.error is not None:
            raise self.error
        question = json.loads(request.content)
        assert (request.url.path, question["model"]) == ("/v1/moderations", "filter-2")
        self.calls.append(question["input"])
        results = [
            {"flagged": self.flagged, "categories": {}, "category_scores": self.score(text)} for text in self.calls[-1]
        ]
        body: Any = {"id": "modr-1", "results": results} if self.body is None else self.body
        return httpx.Response(self.status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


def quiet(_text: str) -> Mapping[str, object]:
    return {"hate": 0, "violence": 0.0}


def parts(*texts: str) -> list[Part]:
    return [Part(Scope.USER, f"/{number}", "user", text) for number, text in enumerate(texts)]


async def test_the_highest_score_counts_and_categories_keep_theirs() -> None:
    service = Service(lambda text: {"hate": 0.25, "violence": 0.75 if "hit" in text else 0.5})
    first, second = await service.guard().judge(parts("hello", "hit"))
    assert (first.score_ppm, first.categories) == (500_000, (("hate", 250_000), ("violence", 500_000)))
    assert (second.score_ppm, second.windows) == (750_000, 1)
    assert service.calls == [["hello", "hit"]]


async def test_a_category_that_nobody_configured_still_counts() -> None:
    service = Service(lambda _text: {"hate": 0, "violence": 0, "spam": 0.9})
    [verdict] = await service.guard().judge(parts("x"))
    assert verdict.score_ppm == 900_000
    assert dict(verdict.categories) == {"hate": 0, "violence": 0}


async def test_long_text_is_asked_about_in_pieces_that_leave_nothing_out() -> None:
    """Services cut what is too long, and say nothing of it."""
    service = Service(lambda text: {"hate": 0.9 if "X" in text else 0.1, "violence": 0})
    for place in (0, 99, 100, 150, 249):
        text = "".join("X" if number == place else "." for number in range(250))
        [verdict] = await service.guard().judge(parts(text))
        assert verdict.score_ppm == 900_000
        assert verdict.windows == 3
    assert all(len(piece) <= 100 for call in service.calls for piece in call)


async def test_text_beyond_the_cap_is_an_error() -> None:
    with pytest.raises(GuardError) as caught:
        await Service(quiet).guard().judge(parts("." * 100_000))
    assert caught.value.kind is ErrorKind.TOO_LONG


async def test_equal_texts_are_sent_once_and_blank_ones_not_at_all() -> None:
    service = Service(quiet)
    verdicts = await service.guard().judge(parts("same", "", " \n", "same"))
    assert service.calls == [["same"]]
    assert [verdict.windows for verdict in verdicts] == [1, 0, 0, 1]


async def test_many_texts_follow_each_other() -> None:
    service = Service(quiet)
    await service.guard().judge(parts(*map(str, range(TEXTS_PER_CALL + 1))))
    assert [len(call) for call in service.calls] == [TEXTS_PER_CALL, 1]


@pytest.mark.parametrize(
    "scores",
    [
        {}, {"hate": 0.1}, {"hate": 0.1, "violence": None}, {"hate": 0.1, "violence": "0.9"},
        {"hate": 0.1, "violence": 1.5}, {"hate": 0.1, "violence": True}, {"hate": -0.1, "violence": 0},
    ],
)  # fmt: skip
async def test_scores_that_are_not_a_complete_set_are_an_error(scores: dict[str, object]) -> None:
    with pytest.raises(GuardError) as caught:
        await Service(lambda _text: scores).guard().judge(parts("x"))
    assert caught.value.kind is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[" * 100_000, [], {}, {"results": []}, {"results": [1]}, {"results": [{}, {}]},
             b'{"results": [{"flagged": false, "category_scores": {"hate": NaN, "violence": 0}}]}', b" " * 2_000_000],
)  # fmt: skip
async def test_an_answer_that_is_none_is_an_error(body: object) -> None:
    service = Service(quiet)
    service.body = body
    with pytest.raises(GuardError) as caught:
        await service.guard().judge(parts("x"))
    assert caught.value.kind is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize("flagged", [None, 1, "false", True])
async def test_a_flag_without_a_score_is_an_error(flagged: object) -> None:
    service = Service(quiet)
    service.flagged = flagged
    with pytest.raises(GuardError):
        await service.guard().judge(parts("x"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, ErrorKind.OVERLOAD), (503, ErrorKind.UNAVAILABLE), (504, ErrorKind.TIMEOUT), (401, ErrorKind.BAD_ANSWER),
     (302, ErrorKind.BAD_ANSWER), (201, ErrorKind.BAD_ANSWER)],
)  # fmt: skip
async def test_a_refusal_of_the_service_is_an_error_of_its_kind(status: int, kind: ErrorKind) -> None:
    service = Service(quiet)
    service.status = status
    with pytest.raises(GuardError) as caught:
        await service.guard().judge(parts("x"))
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [(httpx.ConnectError("x"), ErrorKind.UNAVAILABLE), (httpx.ReadTimeout("x"), ErrorKind.TIMEOUT),
     (httpx.DecodingError("x"), ErrorKind.BAD_ANSWER)],
)  # fmt: skip
async def test_a_service_that_is_away_is_an_error(error: Exception, kind: ErrorKind) -> None:
    service = Service(quiet)
    service.error = error
    with pytest.raises(GuardError) as caught:
        await service.guard().judge(parts("x"))
    assert caught.value.kind is kind


async def test_no_text_is_in_an_error() -> None:
    with pytest.raises(GuardError) as caught:
        await Service(lambda _text: {}).guard().judge(parts("canary of a patient"))
    assert "canary" not in str(caught.value)


async def test_it_is_built_from_its_configuration_and_named_in_full(tmp_path: Any) -> None:
    service = Service(quiet)
    source = ModelSource(tmp_path, service.client(), "filter-2", False, "http://filter/v1", PROFILE)
    guard = build("clinic_filter", {"memory": False}, {"clinic_filter": source})
    assert isinstance(guard, ModerationGuard)
    named = identity("clinic_filter", guard, {"clinic_filter": source})
    assert (named.use, named.profile, named.model) == ("clinic_filter", "filter", "filter-2")
    [verdict] = await guard.judge(parts("x"))
    assert verdict.score_ppm == 0
