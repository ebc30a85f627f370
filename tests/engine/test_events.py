"""Values between engine and wire show no text when they are printed."""

from __future__ import annotations

import pytest

from engine.events import Drawn, GenerateRequest, Grown


def test_room_is_prompt_and_answer_without_the_last_token() -> None:
    assert GenerateRequest((1, 2, 3), 4, 0.0).positions == 6


@pytest.mark.parametrize("value", [Grown("secret", (Drawn(77),)), GenerateRequest((77,), 1, 0.0, stops=("secret",))])
def test_no_text_and_no_token_is_printed(value: object) -> None:
    assert "secret" not in repr(value)
    assert "77" not in repr(value)
