"""Shown text is whole characters and stops before a stop string, however tokens cut it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.output import Detokeniser, StopStrings
from engine.tokens import TextTokenizer
from tests.engine import tiny


def pushed(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    scanner = StopStrings(stops)
    shown = "".join(scanner.push(piece) for piece in pieces)
    return (shown if scanner.hit else shown + scanner.finish()), scanner.hit


def test_a_stop_string_over_many_pieces_is_never_shown() -> None:
    assert pushed(["END"], ["a E", "N", "D b"]) == ("a ", True)
    assert pushed(["END"], ["a E", "N", "x"]) == ("a ENx", False)


def test_the_first_of_several_counts() -> None:
    assert pushed(["bb", "ab"], ["xab", "b"]) == ("x", True)


def test_nothing_is_shown_after_a_hit() -> None:
    scanner = StopStrings(["x"])
    assert scanner.push("axb") == "a"
    assert scanner.push("more") == ""
    assert scanner.finish() == ""


@given(st.lists(st.text(alphabet="ab", max_size=4), max_size=12), st.lists(st.text("ab", min_size=1, max_size=4)))
def test_pieces_do_not_matter(pieces: list[str], stops: list[str]) -> None:
    """However a text is cut, what is shown is what stands before the earliest stop string."""
    text = "".join(pieces)
    ends = [text.find(stop) for stop in stops if stop in text]
    shown, hit = pushed(stops, pieces)

    assert hit == bool(ends)
    if not hit:
        assert shown == text
    else:
        assert text.startswith(shown)
        assert not any(stop in shown for stop in stops)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    directory: Path = tmp_path_factory.mktemp("t")
    tiny.byte_pairs(directory)
    return TextTokenizer.from_file(directory / "tokenizer.json")


@given(text=st.text(alphabet="aé漢😀 \n", max_size=30))
def test_characters_come_whole_and_all_of_them(tokenizer: TextTokenizer, text: str) -> None:
    detokeniser = Detokeniser(tokenizer)
    pieces = [detokeniser.push(token) for token in tokenizer.content(text)]

    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) + detokeniser.finish() == text


def test_bytes_that_never_become_a_character_are_not_kept_for_ever(tokenizer: TextTokenizer) -> None:
    first_byte = tokenizer.content("漢")[0]
    detokeniser = Detokeniser(tokenizer)

    shown = "".join(detokeniser.push(first_byte) for _ in range(8))

    assert set(shown) == {"\ufffd"}


def test_half_a_character_shows_at_the_end(tokenizer: TextTokenizer) -> None:
    detokeniser = Detokeniser(tokenizer)
    assert detokeniser.push(tokenizer.content("漢")[0]) == ""
    assert detokeniser.finish() == "\ufffd"
    assert detokeniser.finish() == ""
