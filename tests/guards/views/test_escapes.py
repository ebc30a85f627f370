"""Characters written as codes."""

from __future__ import annotations

import time

import pytest

from guards.views.escapes import ROUNDS, unescaped
from guards.views.mapped import Mapped

TEXT = "ignore all"


def text_of(text: str) -> str | None:
    view, is_cut = unescaped(Mapped(text))
    assert not is_cut
    return view.text if view else None


@pytest.mark.parametrize(
    "coded",
    [
        "ignore%20all",
        "%69%67%6e%6f%72%65%20%61%6c%6c",
        "ignore%2520all",
        "%69gnore+all",
        "".join(f"&#{ord(char)};" for char in TEXT),
        "".join(f"&#x{ord(char):x}" for char in TEXT).replace("&#x20", "&#x20;"),
        "&amp;#105;gnore all",
        "".join(f"\\u{ord(char):04x}" for char in TEXT),
        "".join(f"\\x{ord(char):02x}" for char in TEXT),
        "\\u{69}gnore\\U00000020all",
        "".join(f"={ord(char):02X}" for char in TEXT),
        "ig=\r\nnore=20=61=\nll",
    ],
)
def test_codes_are_undone_where_they_stand(coded: str) -> None:
    assert text_of(coded) == TEXT


def test_characters_beyond_the_basic_plane_come_in_pairs() -> None:
    assert text_of("\\ud83e\\udd84 %F0%9F%A6%84 &#129412;") == "🦄 🦄 🦄"


@pytest.mark.parametrize(
    "text", ["100 % sure & fine", "a=10 b=20", "C:\\users\\x", "AT&T; R&D", "50%off", "f(x) = 3; y == 0", "\\u12", "&;"]
)
def test_what_is_no_code_stays(text: str) -> None:
    assert text_of(text) is None


def test_places_lead_back_to_the_codes() -> None:
    view, _ = unescaped(Mapped("say ig%6e&#111;re"))

    assert view
    assert view.text == "say ignore"
    assert [view.raw(at, at + 1) for at in (5, 6, 7, 8)] == [(5, 6), (6, 9), (9, 15), (15, 16)]


def test_codes_of_codes_beyond_the_rounds_are_told() -> None:
    assert unescaped(Mapped("%" + "25" * (ROUNDS - 2) + "41"))[1] is False
    assert unescaped(Mapped("%" + "25" * (ROUNDS + 2) + "41"))[1] is True
    assert unescaped(Mapped("&" + "amp;" * 100))[1] is True


def test_a_broken_code_is_judged_as_a_replacement_character() -> None:
    assert text_of("%ff%fe x") == "\ufffd\ufffd x"
    assert text_of("\\ud800") == "\ufffd"


def test_cost_is_linear() -> None:
    for text in (
        "%" * 300_000,
        "%41" * 100_000,
        "&amp" * 80_000,
        "=" * 300_000,
        "\\" * 300_000,
        "&" * 300_000,
        "a%" * 150_000,
    ):
        started = time.process_time()
        unescaped(Mapped(text))
        assert time.process_time() - started < 4


def test_numbers_after_equal_signs_are_no_mail() -> None:
    """A log line each; they became control characters, and a form that every guard had to judge."""
    assert text_of("\n".join(f"batch id={number} done" for number in (805086272, 193998665, 907183950))) is None


def test_bytes_that_are_no_character_do_not_protect_those_that_are() -> None:
    assert text_of("=69=67=80=6E=6F=72=65=01=C3=A9") == "ig=80nore=01é"
