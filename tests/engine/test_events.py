"""Values between engine and wire show no text when they are printed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.adapters import Adapter
from engine.events import Drawn, GenerateRequest, Grown


def test_room_is_prompt_and_answer_without_the_last_token() -> None:
    assert GenerateRequest((1, 2, 3), 4, 0.0).positions == 6


@pytest.mark.parametrize("value", [Grown("secret", (Drawn(77),)), GenerateRequest((77,), 1, 0.0, stops=("secret",))])
def test_no_text_and_no_token_is_printed(value: object) -> None:
    assert "secret" not in repr(value)
    assert "77" not in repr(value)


def test_adapters_and_salts_are_kept_apart_whatever_a_salt_says() -> None:
    """A caller who writes an adapter's digest into his salt does not get what was computed with it."""
    adapter = Adapter("sha256:" + "a" * 64, 4, ())
    plain = GenerateRequest((1,), 1, 0.0)
    adapted = replace(plain, adapter=adapter)
    imitations = [adapted.kept_under, adapter.digest, "0:"]
    requests = [plain, adapted, replace(adapted, salt="x"), *(replace(plain, salt=salt) for salt in imitations)]

    assert len({request.kept_under for request in requests}) == len(requests)
    assert replace(plain, adapter=Adapter(adapter.digest, 4, ())).kept_under == adapted.kept_under
