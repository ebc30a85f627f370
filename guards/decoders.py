"""Text hidden inside text: tag characters, bytes in variation selectors, base64, and rot13 where the text names it.

What is decoded here is one more thing to judge, so everything is bounded (depth, number of pieces, size) and nothing
raises: beyond a bound the rest stays undecoded, and the raw text is judged in any case.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterable

DEPTH = 2
MAX_PIECES = 16
MAX_CHARS = 16_384
"""Of encoded text in a piece; a longer one is a file, not a sentence."""

_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_ROT13 = re.compile(r"rot[\s-]?13", re.IGNORECASE)


def decoded(text: str) -> str:
    """All hidden text found, one piece a line; empty if there is none."""
    pieces: list[str] = []
    layer = [text]
    for _ in range(DEPTH):
        layer = [piece for source in layer for piece in _layer(source)][:MAX_PIECES]
        pieces += layer
    return "\n".join(dict.fromkeys(pieces))


def _layer(text: str) -> list[str]:
    found = [] if text.isascii() else [*_from_tags(text), *_from_selectors(text)]
    found += _from_base64(text)
    if _ROT13.search(text):
        found.append(codecs.encode(text[:MAX_CHARS], "rot13"))
    return found[:MAX_PIECES]


def _from_tags(text: str) -> list[str]:
    return ["".join(chr(ord(char) - 0xE0000) for char in run[:MAX_CHARS]) for run in _TAGS.findall(text)[:MAX_PIECES]]


def _from_selectors(text: str) -> list[str]:
    """Selector 1 to 256 as byte 0 to 255: the usual way to hide text behind an emoji."""
    runs = (run[:MAX_CHARS] for run in _SELECTORS.findall(text)[:MAX_PIECES])
    return _readable(bytes(ord(c) - 0xFE00 if c <= "\ufe0f" else ord(c) - 0xE0100 + 16 for c in run) for run in runs)


def _from_base64(text: str) -> list[str]:
    raw: list[bytes] = []
    for match in _BASE64.finditer(text):
        run = match.group()
        if len(run) <= MAX_CHARS and len(raw) < MAX_PIECES:
            plain = run.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
            try:
                raw.append(base64.b64decode(plain + "=" * (-len(plain) % 4)))
            except binascii.Error:  # a length that no encoder produces
                continue
    return _readable(raw)


def _readable(candidates: Iterable[bytes]) -> list[str]:
    """Those that are sentences: UTF-8, printable, mostly letters and spaces. Hashes and pictures are not."""
    texts = []
    for raw in candidates:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            continue
        wordy = sum(char.isalpha() or char.isspace() for char in text)
        if len(text) >= 4 and wordy >= 0.7 * len(text) and text.replace("\n", " ").replace("\t", " ").isprintable():
            texts.append(text)
    return texts
