"""A token is placed where its bytes are the text's bytes, and nowhere else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.alignment import Alignment, Placed
from gateway.exchange import TokenLogprob


def tokens(*pieces: str | bytes) -> list[TokenLogprob]:
    return [TokenLogprob(piece if isinstance(piece, bytes) else piece.encode(), -0.5) for piece in pieces]


def spots(placed: list[Placed]) -> list[tuple[int, int, bytes]]:
    return [(one.start, one.end, one.token.data) for one in placed]


def test_tokens_that_come_with_their_text_have_its_places() -> None:
    aligned = Alignment()
    assert spots(aligned.place("Hello", tokens("Hel", "lo"))) == [(0, 3, b"Hel"), (3, 5, b"lo")]
    assert spots(aligned.place(" you", tokens(" you"))) == [(5, 9, b" you")]


def test_tokens_wait_for_text_that_comes_later() -> None:
    aligned = Alignment()
    assert aligned.place("Hel", tokens("Hello")) == []
    assert spots(aligned.place("lo w", tokens(" world"))) == [(0, 5, b"Hello")]
    assert spots(aligned.place("orld", [])) == [(5, 11, b" world")]


def test_parts_of_a_character_belong_to_all_of_it() -> None:
    aligned = Alignment()
    assert aligned.place("", tokens(b"\xf0\x9f")) == []
    placed = aligned.place("😀!", tokens(b"\x98", b"\x80!"))
    assert spots(placed) == [(0, 1, b"\xf0\x9f"), (0, 1, b"\x98"), (0, 2, b"\x80!")]


def test_tokens_that_are_no_text_are_left_out() -> None:
    aligned = Alignment()
    placed = aligned.place("The answer", tokens("think", "ing", "The", " answer", "<|eot|>"))
    assert spots(placed) == [(0, 3, b"The"), (3, 10, b" answer")]
    assert aligned.place("", tokens("<|eot|>", "smuggled text")) == []


def test_a_garbled_token_loses_itself_only() -> None:
    placed = Alignment().place("aéb", tokens("a", "\ufffd", "\ufffd", "b"))
    assert spots(placed) == [(0, 1, b"a"), (2, 3, b"b")]


def test_text_without_tokens_does_not_move_those_of_the_next_piece() -> None:
    aligned = Alignment()
    assert aligned.place("no tokens here. ", []) == []
    assert spots(aligned.place("here", tokens("here"))) == [(16, 20, b"here")]


def test_tokens_without_text_do_not_pile_up() -> None:
    aligned = Alignment()
    for _ in range(200):
        aligned.place("", tokens(*["x"] * 100))
    assert len(aligned._waiting) <= 1_024


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(TEXT, st.lists(st.integers(1, 6), max_size=60), st.lists(st.integers(1, 9), max_size=60))
def test_however_text_and_tokens_are_cut_every_byte_has_its_token(text: str, sizes: list[int], cuts: list[int]) -> None:
    """Tokens may cut characters, and text may come after its tokens, as whole characters."""
    data, at, drawn = text.encode(), 0, []
    for size in [*sizes, len(data)]:
        drawn += tokens(data[at : at + size]) if data[at : at + size] else []
        at += size
    aligned, placed, shown, sent = Alignment(), [], 0, b""
    for number, token in enumerate(drawn):
        sent += token.data
        ready = len(sent.decode("utf-8", "ignore"))
        held = max(0, ready - cuts[number]) if number < len(cuts) and number + 1 < len(drawn) else ready
        piece = text[shown : max(shown, held)]
        shown = max(shown, held)
        placed += aligned.place(piece, [token])
    assert b"".join(one.token.data for one in placed) == data
    for one in placed:
        assert one.token.data in text[one.start : one.end].encode()


@given(st.lists(st.tuples(TEXT, st.lists(st.binary(max_size=6), max_size=5)), max_size=12))
def test_no_byte_is_placed_that_is_not_in_the_text(pieces: list[tuple[str, list[bytes]]]) -> None:
    aligned, whole, ends = Alignment(), "", [0]
    for text, drawn in pieces:
        whole += text
        for one in aligned.place(text, tokens(*drawn)):
            assert one.token.data
            assert one.token.data in whole[one.start : one.end].encode()
            assert one.end >= ends[-1], "in order"
            ends.append(one.end)
