"""Texts that stand in another text as base64, as numbers, as tag characters or as bytes in variation selectors.

Each is a piece with its place. Pictures, hashes and product codes decode to noise and are left out; a sentence before
or after noise is found. Nothing is skipped for its number or size: each decoder reads every character once.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice

from guards.views.alphabets import alphabets
from guards.views.mapped import Piece
from guards.views.numerals import numerals
from guards.views.words import distinct, words

LEAST = 8
"""Characters of a decoded text; less says too little and comes about by chance."""
_LEAST_IN_NOISE = 16
_SHORT = 24
_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_RUN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}")
_PLAIN = re.compile(r"(?:[A-Z]?[a-z]*|[A-Z]+)(?:[-_/+](?:[A-Z]?[a-z]*|[A-Z]+))*")
"""A word, or words with hyphens or slashes between them."""
_WORD = r"[A-Za-z0-9+/_-]"
_EVIDENCE = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|[0-9][A-Za-z]|[A-Za-z][0-9]")
_CODED = re.compile(
    rf"(?<!{_WORD})(?={_WORD}{{0,80}}(?:[a-z][A-Z]|[A-Z]{{2}}[a-z]|[0-9][A-Za-z]|[A-Za-z][0-9]))"
    rf"{_WORD}{{2,}}={{0,2}}(?!{_WORD})"
)
"""A token that is no plain word: letters of both cases mixed, or digits among them."""
_SPACED = re.compile(rf"(?<!\S)(?:{_WORD}\s{{1,2}}){{15,}}{_WORD}={{0,2}}(?!\S)")
_APART = r"[^A-Za-z0-9+/=_-]{1,4}"
_BRIDGE = re.compile(rf"{_APART}(?:{_WORD}{{1,80}}{_APART})?")
_TAIL = re.compile(rf"{_APART}{_WORD}{{1,80}}={{1,2}}")
_PUNCTUATION = re.compile(r"[^\sA-Za-z0-9+/=_-]")
_PIECE = 32
_NO_SIGN = re.compile(r"[^A-Za-z0-9+/_-]+")
_URL_SAFE = {ord("-"): "+", ord("_"): "/"}
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}(?:[\s:,-]{0,2})){8,}(?![0-9A-Za-z])")
_HEX_SIGNS = re.compile(r"0x|\\x|[^0-9A-Fa-f]")
_STRETCH = re.compile(r"[\x20-\x7e\t\r\n]{16,}")
_IN_A_ROW = re.compile(r"[^\W_]{3}")
_NOT_PRINTED = str.maketrans("\r\n\t", "   ")


def buried(text: str) -> list[Piece]:
    """Every text found, by no particular order."""
    found = [] if text.isascii() else [*_from_tags(text), *_from_selectors(text)]
    return [*found, *_from_base64(text), *_from_hex(text), *numerals(text), *alphabets(text)]


def _from_tags(text: str) -> Iterator[Piece]:
    for match in _TAGS.finditer(text):
        yield Piece(*match.span(), "".join(chr(ord(char) - 0xE0000) for char in match.group()))


def _from_selectors(text: str) -> Iterator[Piece]:
    """Selector 1 to 256 as byte 0 to 255: the usual way to hide text behind an emoji."""
    for match in _SELECTORS.finditer(text):
        data = bytes(ord(c) - 0xFE00 if c <= "\ufe0f" else ord(c) - 0xE0100 + 16 for c in match.group())
        yield from _pieces(match.span(), [data], least=4)


def _from_base64(text: str) -> Iterator[Piece]:
    spans = {match.span() for match in _RUN.finditer(text) if _PLAIN.fullmatch(match.group()) is None}
    spans |= {match.span() for match in _SPACED.finditer(text)}
    spans |= set(_broken_up(text))
    for start, end in sorted(spans):
        signs = _NO_SIGN.sub("", text[start:end]).translate(_URL_SAFE)
        yield from _pieces((start, end), (_base64(signs[shift:]) for shift in range(4)))


def _broken_up(text: str) -> Iterator[tuple[int, int]]:
    """Coded tokens with something between them; one that looks like a word may stand between two that do not."""
    if len(list(islice(_EVIDENCE.finditer(text), 2))) < 2:
        return
    start = end = -1
    count = 0
    for match in _CODED.finditer(text):
        if end >= 0 and _is_bridge(text, end, match):
            count += 1
        else:
            if count > 1:
                yield start, _with_tail(text, end)
            start, count = match.start(), 1
        end = match.end()
    if count > 1:
        yield start, _with_tail(text, end)


def _is_bridge(text: str, end: int, following: re.Match[str]) -> bool:
    """Blanks between any two tokens; other characters only between short ones, which nobody takes for whole texts."""
    gap = text[end : min(following.start(), end + 100)]
    if text[end - 1] == "=" or end + len(gap) < following.start() or _BRIDGE.fullmatch(gap) is None:
        return False
    return len(following.group()) < _PIECE or not _PUNCTUATION.search(gap)


def _with_tail(text: str, end: int) -> int:
    """The end of the last token, which may look like a word but for its padding."""
    tail = _TAIL.match(text, end)
    return tail.end() if tail else end


def _base64(signs: str) -> bytes:
    usable = signs[: len(signs) - (len(signs) % 4 == 1)]
    try:
        return base64.b64decode(usable + "=" * (-len(usable) % 4))
    except binascii.Error:  # no encoder produces it
        return b""


def _from_hex(text: str) -> Iterator[Piece]:
    for match in _HEX.finditer(text):
        digits = _HEX_SIGNS.sub("", match.group())
        yield from _pieces(match.span(), [bytes.fromhex(digits[: len(digits) // 2 * 2])])


def _pieces(span: tuple[int, int], readings: Iterable[bytes], least: int = LEAST) -> Iterator[Piece]:
    """The first reading in which there is text; usually the first."""
    for data in readings:
        text = _readable(data, least)
        if text:
            yield Piece(*span, text)
            return


def _readable(data: bytes, least: int) -> str:
    """What of the bytes is a text: all of them, or the sentences among noise. Empty if nothing is."""
    if len(data) < least:
        return ""
    for encoding in ("utf-8", "utf-16-le") if b"\0" in data else ("utf-8",):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if len(text) >= least and (_is_text(text) or (len(text) >= _LEAST_IN_NOISE and _is_printed(text))):
            return text
    stretches = [found for found in _STRETCH.findall(data.decode("latin-1")) if _is_text(found)]
    return "\n".join(found for found in stretches if len(distinct(found) & words()) >= 2)


def _is_text(text: str) -> bool:
    """Printable, with three letters or digits in a row, and mostly letters, marks and blanks."""
    wordy = sum(char.isalpha() or char.isspace() for char in text)
    if wordy < 0.55 * len(text) or _IN_A_ROW.search(text) is None or not _is_printed(text):
        return False
    return len(text) >= _SHORT or _is_one_script(text)


def _is_one_script(text: str) -> bool:
    """Bytes that happen to be UTF-8 draw their letters from everywhere."""
    return text.isascii() or len({unicodedata.name(char, "").split(" ")[0] for char in text if char.isalpha()}) == 1


def _is_printed(text: str) -> bool:
    return text.translate(_NOT_PRINTED).isprintable()
