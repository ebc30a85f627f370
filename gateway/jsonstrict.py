"""JSON as the judged side and the forwarded side must both read it.

Parsers disagree on duplicate keys, NaN, big integers, lone surrogates and byte order marks, and each disagreement
is a place where one text is judged and another is used. All of these are refused here, with a code, and what goes
on is always serialised anew by `dumps`. Measured disagreements: docs/threat-model.md.
"""

from __future__ import annotations

import json
import re
from typing import Final, TypeAlias

import orjson

from gateway.errors import BadRequest

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_NUMBER_CHARS: Final = 32
"""Longer number tokens are refused: no field needs them, and big-integer parsing is quadratic."""
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string, or what is left of one that has no end. It always matches and never looks back: were an unended string no
match, each quote in it would be tried as a beginning, and one request could hold the event loop for hours."""
_ESCAPE: Final = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL
)
_BEGINS_AS_JSON: Final = re.compile(r'[\s\ufeff]*(?:```\w*\s*)?[\[{"]')
"""Also in a fence, as models like to write it."""
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class _Refused(ValueError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def loads(body: bytes, *, max_depth: int) -> Json:
    """Parse UTF-8 JSON. Raises BadRequest with one of the codes
    `not_utf8`, `invalid_json`, `duplicate_key`, `invalid_number`, `too_deep`, `lone_surrogate`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BadRequest("not_utf8", f"the body is not valid UTF-8 at byte {exc.start}") from None
    if text.startswith("\ufeff"):
        raise BadRequest("invalid_json", "the body starts with a byte order mark")
    if _deeper_than(text, max_depth):
        raise BadRequest("too_deep", f"the body nests deeper than {max_depth} levels")
    try:
        value: Json = _decode(text)
    except _Refused as exc:
        raise BadRequest(exc.code, str(exc)) from None
    except json.JSONDecodeError as exc:
        raise BadRequest(
            "invalid_json", f"the body is not valid JSON at line {exc.lineno} column {exc.colno}"
        ) from None
    if "\\u" in text and not _encodes(value):
        raise BadRequest("lone_surrogate", "the body holds an escape that is half of a character pair")
    return value


def dumps(value: Json) -> bytes:
    """Our own bytes for a value that `loads` or the wire readers built: compact UTF-8. There is no NaN in one."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer of more than 64 bits, or deep nesting
        return _ENCODE(value).encode()


def is_json(text: str) -> bool:
    """Whether a string holds JSON, as lenient readers see it."""
    try:
        _lenient(text)
    except (ValueError, RecursionError):
        return False
    return True


def without_escapes(text: str) -> str:
    """JSON inside a string (the arguments of a tool call) with the characters themselves where escapes stood.

    A guard reads `\\u003c|im_start|>` as it stands; a chat template or a tool parses it first, and reads another text.
    Equal in meaning; what has to stay escaped does. That goes for what only begins as JSON, too: there are readers that
    close what is open, pass over a comma, or have no bound on depth. What does not begin so nobody parses.
    """
    return _ESCAPE.sub(_unescaped, text) if "\\" in text and _BEGINS_AS_JSON.match(text) else text


def _unescaped(match: re.Match[str]) -> str:
    high, low, single, other = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    char = chr(int(single, 16)) if single else other
    if single:
        stays = char < " " or char in '"\\' or "\ud800" <= char <= "\udfff"
        return match.group() if stays else char
    return "/" if other == "/" else match.group()


def name_of(key: str) -> str:
    """A caller's field name, if it is safe to print; else a description. Never free text in a message."""
    return f"`{key}`" if _SAFE_NAME.fullmatch(key) else "with a name that is not printable here"


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("duplicate_key", "an object in the body has the same key twice")
    return value


def _integer(token: str) -> int:
    if len(token) > MAX_NUMBER_CHARS:
        raise _Refused("invalid_number", f"a number in the body has more than {MAX_NUMBER_CHARS} characters")
    return int(token)


def _float(token: str) -> float:
    value = float(token) if len(token) <= MAX_NUMBER_CHARS else float("inf")
    if value in (float("inf"), float("-inf")):
        raise _Refused("invalid_number", "a number in the body is too large or has too many digits")
    return value


def _constant(_token: str) -> float:
    raise _Refused("invalid_number", "the body holds NaN or Infinity, which are not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
).decode
_lenient = json.JSONDecoder(parse_int=len, strict=False).decode
"""As others read: numbers of any length, line breaks in strings."""
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _deeper_than(text: str, limit: int) -> bool:
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for char in _STRING.sub("", text):
        if char in "[{":
            depth += 1
            if depth > limit:
                return True
        elif char in "]}":
            depth -= 1
    return False


def _encodes(value: Json) -> bool:
    try:
        dumps(value)
    except UnicodeEncodeError:
        return False
    return True
