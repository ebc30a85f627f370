"""A record as bytes: the one encoding that is written, hashed and signed.

Records are RFC 8785 canonical JSON within a subset where an ordinary encoder with sorted keys already is canonical:
ASCII keys, no floats, integers that every JSON reader keeps exact. Whatever lies outside the subset is refused here,
before a sequence number is spent. Nothing is cut to fit: a record that is too large is an error of the caller.

orjson writes, and reads whatever it can. What it does not take, or might take too easily, is judged by something slower
whose verdict alone decides what is refused: by check_value when a record is written, by Python's own parser when a line
is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

import orjson

from gateway.audit.errors import RecordError

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

MAX_BYTES = 32 * 1024
MAX_INT = 2**53 - 1
"""Beyond this, readers that hold numbers as doubles would see another value."""
MAX_DEPTH = 16

_NOTHING: Mapping[str, object] = {}
_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False
).encode

# Canonical JSON spells a float `digits.digits`, with an exponent or with both, between two of `:[,]}`. Without digits
# and signs, with `.` spelled `e` and each of those marks a comma, that is `,e,` or `,ee,`. The letters `u` and `l`
# stay, so that `true` and `false` do not look like it.
_FLOAT = re.compile(b",ee?,")
_SPELLED = bytes.maketrans(b":[]}.E", b",,,,ee")
_DROPPED = bytes(set(range(256)) - set(b'":[]},.eEul'))


def check_value(value: object, name: str = "record", depth: int = 0) -> None:
    """Refuse whatever has no canonical form. Names the field, never its value."""
    if depth >= MAX_DEPTH and type(value) in (dict, list, tuple):
        raise RecordError(f"`{name}` is nested deeper than {MAX_DEPTH}")
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise RecordError(f"a key in `{name}` is not an ASCII string")
            check_value(item, key, depth + 1)
    elif type(value) is list or type(value) is tuple:
        for item in value:
            check_value(item, name, depth + 1)
    elif isinstance(value, int):
        if not -MAX_INT <= value <= MAX_INT:
            raise RecordError(f"`{name}` is an integer beyond 2^53-1, expected a string for numbers of that size")
    elif value is not None and not isinstance(value, str):
        found = type(value).__name__
        raise RecordError(f"`{name}` is a {found}, expected integer, string, boolean, null, list or object")


def _is_plain(values: Iterable[Any], depth: int = 1) -> bool:
    """True if check_value would refuse nothing in them but keys and large integers, in half its time. False says
    nothing."""
    for item in values:
        kind = type(item)
        if kind is str or kind is int:
            continue
        if kind is dict or kind is list:
            if depth >= MAX_DEPTH or not _is_plain(item.values() if kind is dict else item, depth + 1):
                return False
        elif kind is not bool and item is not None:
            return False
    return True


def canonical(record: Mapping[str, object], envelope: Mapping[str, object] = _NOTHING) -> bytes:
    """Check a record, and encode it together with fields that need no check."""
    try:
        line = orjson.dumps({**record, **envelope}, None, _SORTED)
    except orjson.JSONEncodeError:
        line = b""
    # orjson has refused large integers and keys that are no strings; in a line of ASCII keys are ASCII.
    if not line or not line.isascii() or not _is_plain(record.values()):
        check_value(dict(record))
    if not line:
        raise RecordError("a string holds half a surrogate pair, which has no UTF-8 form")
    check_size(line)
    return line


def check_size(line: bytes) -> None:
    """Refuse a line that is too long."""
    if len(line) > MAX_BYTES:
        raise RecordError(f"record is {len(line)} bytes, expected at most {MAX_BYTES}")


def _refuse_number(text: str) -> NoReturn:
    raise RecordError("line holds a number that is not an integer")


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INT:
        raise RecordError("line holds an integer beyond 2^53-1")
    return int(text)


_decode = json.JSONDecoder(parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=_integer).decode


def parse_line(line: bytes) -> dict[str, Json]:
    """Read one stored line, without its newline. Anything but the canonical form of an object is an error.

    Comparing with the bytes encoded again also finds repeated keys, spaces, key order and needless escapes.
    """
    return _parse_slowly(line) if may_hold_float(line) else parse_without_float(line)


def may_hold_float(lines: bytes) -> bool:
    """False if no value in these lines of canonical JSON is a float. True says nothing."""
    return _FLOAT.search(lines.translate(_SPELLED, _DROPPED)) is not None


def parse_without_float(line: bytes) -> dict[str, Json]:
    """As parse_line, for a line of which may_hold_float said no."""
    try:
        record = orjson.loads(line)
        if orjson.dumps(record, None, _SORTED) == line and type(record) is dict and len(line) <= MAX_BYTES:
            return record
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass
    return _parse_slowly(line)


def _parse_slowly(line: bytes) -> dict[str, Json]:
    if len(line) > MAX_BYTES:
        raise RecordError(f"line is longer than {MAX_BYTES} bytes")
    try:
        record = _decode(line.decode())
    except RecordError:
        raise
    except (UnicodeDecodeError, ValueError, RecursionError):
        # The parser's own message would quote the content.
        raise RecordError("line is not JSON in UTF-8") from None
    if not isinstance(record, dict):
        raise RecordError("line is not a JSON object")
    if _encode_stored(record) != line:
        raise RecordError("line is not in canonical form")
    return record


def _encode_stored(record: dict[str, Json]) -> bytes | None:
    try:
        return _encode(record).encode()
    except (UnicodeEncodeError, RecursionError):
        return None
