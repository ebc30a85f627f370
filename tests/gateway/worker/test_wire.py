"""Whatever pieces messages come in, they are read as they were written, or the line is at its end."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.errors import WireError
from gateway.worker.wire import LARGEST, Body, Kind, Message, Reader, packed

BODIES = st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text()))
MESSAGES = st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), BODIES), max_size=5)


@given(MESSAGES, st.lists(st.integers(1, 40), max_size=20))
def test_messages_are_read_as_written_in_whatever_pieces(
    messages: list[tuple[Kind, int, Body]], cuts: list[int]
) -> None:
    data, reader, seen = b"".join(packed(*message) for message in messages), Reader(), []
    for cut in cuts:
        seen += reader.messages(data[:cut])
        data = data[cut:]
    seen += reader.messages(data)
    assert seen == [Message(*message) for message in messages]


@given(st.binary(max_size=200))
def test_what_is_no_message_is_refused_or_waited_for(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert all(isinstance(message.body, dict) for message in Reader().messages(data))


@pytest.mark.parametrize("head", [b"\xff" + bytes(8), bytes([Kind.LEAVE, 0, 0, 0, 0]) + (2**31).to_bytes(4)])
def test_an_unknown_kind_or_a_length_over_its_bound_is_refused_before_anything_is_kept(head: bytes) -> None:
    with pytest.raises(WireError):
        list(Reader().messages(head))


def test_what_the_other_side_would_refuse_is_not_sent() -> None:
    with pytest.raises(WireError, match="expected at most"):
        packed(Kind.LEAVE, 0, {"id": "x" * LARGEST[Kind.LEAVE]})
    with pytest.raises(WireError, match="not JSON"):
        packed(Kind.LEAVE, 0, {"id": "\ud800"})


def test_text_is_nowhere_in_what_is_said_of_a_refusal() -> None:
    with pytest.raises(WireError) as error:
        packed(Kind.LEAVE, 0, {"id": "secret" * 100_000})
    assert "secret" not in str(error.value)
