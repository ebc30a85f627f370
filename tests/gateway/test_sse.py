"""The parser reads events as the WHATWG specification does, whatever the chunk borders."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import sse
from gateway.errors import UpstreamFailed


def events(*chunks: bytes) -> list[str]:
    parser = sse.EventParser()
    return [data for chunk in chunks for data in parser.feed(chunk)]


def test_byte_order_mark_does_not_eat_the_first_event() -> None:
    assert events(b"\xef\xbb\xbfdata: a\n\n") == ["a"]
    assert events(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == ["a"]


def test_all_line_ends_end_lines() -> None:
    assert events(b"data: a\r\n\r\ndata: b\r\rdata: c\n\n") == ["a", "b", "c"]
    assert events(b"data: a\r", b"\n\r", b"\ndata: b\n\n") == ["a", "b"]


def test_an_unterminated_event_is_not_delivered() -> None:
    assert events(b"data: whole\n\ndata: cut off") == ["whole"]


def test_comments_and_foreign_fields_carry_nothing() -> None:
    assert events(b": ping\n\nevent: leak\nid: 7\nretry: 9\ndata: x\ndata: y\n\n") == ["x\ny"]


def test_invalid_utf8_and_endless_lines_are_failures() -> None:
    with pytest.raises(UpstreamFailed):
        events(b"data: \xff\xfe\n\n")
    with pytest.raises(UpstreamFailed):
        events(b"data: " + b"x" * (sse.MAX_LINE + 1))
    with pytest.raises(UpstreamFailed):
        events(*[b"data: " + b"x" * 200_000 + b"\n"] * 8)
    with pytest.raises(UpstreamFailed):
        events(*[b"data\n" * 50_000] * 25)


def test_a_long_line_in_single_bytes_is_not_copied_with_every_byte() -> None:
    """A quarter of a megabyte, byte by byte, would be 32 GB of copying."""
    parser, text = sse.EventParser(), "x" * (sse.MAX_LINE - 10)
    began = time.process_time()
    for byte in b"data: " + text.encode():
        assert not list(parser.feed(bytes((byte,))))
    assert list(parser.feed(b"\n\n")) == [text]
    assert time.process_time() - began < 3


@pytest.mark.parametrize("text", ["aé€😀b", "\u2028\u0085\x00"])
def test_characters_cut_at_every_byte_arrive_whole(text: str) -> None:
    wire = b"data: " + text.encode() + b"\n\n"
    for cut in range(len(wire) + 1):
        assert events(wire[:cut], wire[cut:]) == [text]
    assert events(*(bytes((byte,)) for byte in wire)) == [text]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5),
       st.lists(st.integers(1, 40), max_size=30))  # fmt: skip
def test_chunk_borders_change_nothing(texts: list[str], cuts: list[int]) -> None:
    wire = b"".join(b"data: " + text.encode() + b"\r\n\r\n" for text in texts)
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(wire[at : at + cut])
        at += cut
    assert events(*chunks, wire[at:]) == events(wire) == texts


def test_our_own_events_survive_our_own_parser() -> None:
    assert events(sse.event(b'{"a":1}'), sse.DONE) == ['{"a":1}', "[DONE]"]
