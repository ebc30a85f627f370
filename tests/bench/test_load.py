"""The load generator counts only answers that are whole and right, and ends by itself."""

from __future__ import annotations

import json

from bench.load import Load, streamed_text
from bench.percentile import percentile


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


def test_streamed_text_is_joined_over_events() -> None:
    assert streamed_text(event(" one") + event(" two") + b"data: [DONE]\n\n") == " one two"


def test_an_event_that_has_not_ended_is_not_read() -> None:
    assert streamed_text(event(" one") + event(" two")[:-1]) == " one"


def test_events_without_text_count_for_nothing() -> None:
    assert streamed_text(b': keep\n\ndata: {"choices":[]}\n\ndata: {"choices":[{"delta":{"content":null}}]}\n\n') == ""


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3, 1, 2], share) for share in (0.0, 0.5, 0.99)] == [1, 2, 3]
    assert percentile([], 0.5) == 0.0


def test_the_request_says_how_long_its_body_is() -> None:
    head, _, body = Load("http://127.0.0.1:9/v1/chat/completions", 1, 1.0, stream=True).payload().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["stream"] is True
