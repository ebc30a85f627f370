"""The bytes of a message, against RFC 5424 and 5425."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.sinks.syslog_message import Header, head_message, record_message

HEADER = Header("gate 1.example", "gatehouse@32473", "site/one", 600)
LEAF = bytes(range(32))


def line(**more: object) -> bytes:
    return json.dumps({"ts": "1800000000123456789", "type": "auth.fail", **more}, separators=(",", ":")).encode()


def test_record_is_framed_by_its_length_and_carries_the_line_unchanged() -> None:
    stored = line(n='ü]\\"')
    message = record_message(HEADER, 7, stored, LEAF)
    length, _, rest = message.partition(b" ")
    assert int(length) == len(rest)
    assert rest == (
        b"<110>1 2027-01-15T08:00:00.123456Z gate1.example gatehouse - auth.fail "
        b'[gatehouse@32473 origin="site/one" seq="7" leaf="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="] ' + stored
    )


def test_record_longer_than_the_collector_takes_is_told_by_number_and_leaf_alone() -> None:
    stored = line(n="x" * 1000)
    message = record_message(HEADER, 7, stored, LEAF)
    assert len(message) < HEADER.longest
    assert b'seq="7"' in message
    assert f'bytes="{len(stored)}"] '.encode() in message
    assert message.startswith(b"%d <109>1 " % (len(message) - len(message.split(b" ")[0]) - 1))
    assert b"xxx" not in message


def test_head_is_the_note_in_base64() -> None:
    note = "site/one\n12\ncm9vdA==\ntime 1800000000000000000\n\n— site/one c2ln\n".encode()
    message = head_message(HEADER, note)
    assert b'head [gatehouse@32473 origin="site/one" size="12" root="cm9vdA=="] ' in message
    assert message.endswith(b"c2l0ZS9vbmUKMTIKY205dmRBPT0KdGltZSAxODAwMDAwMDAwMDAwMDAwMDAwCgrigJQgc2l0ZS9vbmUgYzJsbgo=")


@given(st.text(max_size=40), st.text(max_size=300), st.integers(0, 2**53))
def test_no_value_breaks_out_of_its_place(host: str, origin: str, seq: int) -> None:
    """The structured data ends at the first bracket that is not escaped, wherever values come from."""
    message = record_message(Header(host, "gatehouse@1", origin, 100_000), seq, line(), LEAF)
    length, _, rest = message.partition(b" ")
    assert int(length) == len(rest)
    data = rest.split(b" ", 6)[6]
    assert data.startswith(b"[gatehouse@1 ")
    values, number, inside = [], 0, False
    while number < len(data):
        character = data[number : number + 1]
        if character == b"\\" and inside:
            number += 1
        elif character == b'"':
            inside = not inside
            values.append(number)
        elif character == b"]" and not inside:
            break
        number += 1
    assert len(values) == 6
    assert data[number:] == b"] " + line()
