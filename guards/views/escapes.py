"""Characters written as codes inside running text: `%69`, `&#105;`, `\\u0069`, `=69`. Undone where they stand.

Codes may be written with codes; they are undone again and again until nothing changes, at most ROUNDS times. Where the
text would still change then, that is told: whoever judges has to know that it was not read to the end.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from itertools import islice
from typing import Final

from guards.views.mapped import Edits, Mapped

ROUNDS: Final = 8
_TOKEN = re.compile(r"\S+")
_CODE = re.compile(r"%[0-9A-Fa-f]{2}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+|\+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_ESCAPE = re.compile(r"(?:\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}|\\U[0-9A-Fa-f]{8}|\\x[0-9A-Fa-f]{2})+")
_ONE_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2}))")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2})+|=\r?\n")
_ONE_QUOTED = re.compile(r"=(?:[0-9A-F]{2}|\r?\n)")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\udc80-\udcff]")
_LEAST_QUOTED = 3


def unescaped(base: Mapped) -> tuple[Mapped | None, bool]:
    """The text with its codes undone, None when it has none; and whether codes were left after all rounds."""
    current = base
    for _ in range(ROUNDS):
        before = current
        for undo in (_percent, _entities, _escapes, _quoted):
            current = undo(current) or current
        if current is before:
            return (current if current is not base else None), False
    return current, any(undo(current) for undo in (_percent, _entities, _escapes, _quoted))


def without_references(base: Mapped) -> Mapped:
    """The text as a page would show it: `&lt;` is `<`, and `&amp;lt;` as well, at most ROUNDS times."""
    for _ in range(ROUNDS):
        plain = _entities(base)
        if plain is None:
            break
        base = plain
    return base


def _percent(base: Mapped) -> Mapped | None:
    """Of a URL or a form, in which `+` is a blank."""
    if "%" not in base.text:
        return None
    edits = Edits(base)
    for token in _TOKEN.finditer(base.text):
        if "%" not in token.group() or _CODE.search(token.group()) is None:
            continue
        for match in _PERCENT.finditer(base.text, *token.span()):
            plain = " " if match.group() == "+" else _utf8(bytes.fromhex(match.group().replace("%", "")))
            _replace(edits, match, plain)
    return edits.done()


def _entities(base: Mapped) -> Mapped | None:
    return _each(_ENTITY, base, html.unescape) if "&" in base.text else None


def _escapes(base: Mapped) -> Mapped | None:
    return _each(_ESCAPE, base, _from_escapes) if "\\" in base.text else None


def _quoted(base: Mapped) -> Mapped | None:
    """Quoted-printable; a few `=AB` in a row of them are assignments, not mail."""
    if "=" not in base.text or len(list(islice(_ONE_QUOTED.finditer(base.text), _LEAST_QUOTED))) < _LEAST_QUOTED:
        return None
    return _each(_QUOTED, base, _from_quoted)


def _each(pattern: re.Pattern[str], base: Mapped, plain: Callable[[str], str]) -> Mapped | None:
    edits = Edits(base)
    for match in pattern.finditer(base.text):
        _replace(edits, match, plain(match.group()))
    return edits.done()


def _replace(edits: Edits, match: re.Match[str], plain: str) -> None:
    if plain != match.group():
        edits.replace(*match.span(), plain)


def _from_escapes(run: str) -> str:
    codes = [int(next(filter(None, match.groups())), 16) for match in _ONE_ESCAPE.finditer(run)]
    chars = "".join(chr(code) for code in codes if code <= 0x10FFFF)
    # Escapes outside the basic plane come as pairs of surrogates.
    return chars.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _from_quoted(run: str) -> str:
    """Bytes that make no character stay as they are written: `id=805086272` is a number."""
    if run[1] in "\r\n":
        return ""
    plain = bytes.fromhex(run.replace("=", "")).decode("utf-8", "surrogateescape")
    return _NO_TEXT.sub(lambda match: f"={ord(match.group()) & 0xFF:02X}", plain)


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace")
