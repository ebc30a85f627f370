"""Text in other alphabets than letters: Braille, spelling words (`alfa bravo`), places in the alphabet, base32 and
base85, uuencoded lines, codes such as `U+0041`, `\\101` and `chr(65)`, and bits written with two invisible characters.

Each is a form that tools of attackers make and language models read. What comes out has to be English words, so that a
list of dates, a product code or a table gives nothing. Each pattern reads the text once.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from functools import partial
from string import ascii_lowercase
from typing import Final

from guards.views.mapped import Piece
from guards.views.words import distinct, segmented, words

_LEAST_WORDS: Final = 2
_DOTS: Final = (1, 3, 9, 25, 17, 11, 27, 19, 10, 26, 5, 7, 13, 29, 21, 15, 31, 23, 14, 30, 37, 39, 58, 45, 61, 53)
CELLS: Final = {0x2800 + dots: letter for dots, letter in zip(_DOTS, ascii_lowercase, strict=True)} | {0x2800: " "}
_BRAILLE = re.compile("[\u2800-\u283f](?:[\u2800-\u283f]|[^\\S\n]|[.,!?'](?=[\u2800-\u283f\\s]))+")
_SPOKEN: Final = (
    "al(?:f|ph)a bravo charlie delta echo foxtrot golf hotel india juliett? kilo lima mike november oscar papa quebec "
    "romeo sierra tango uniform victor whiske?y x-?ray yankee zulu"
)
_NAMES = [re.compile(f"(?i:{name})") for name in _SPOKEN.split()]
_NATO = re.compile(rf"(?<!\w)(?:(?i:{_SPOKEN.replace(' ', '|')})(?:[\s,;.\-/|]{{1,3}}|$)){{8,}}")
_PLACES = re.compile(
    r"(?<![\w.\-])(?:(?:1?[0-9]|2[0-6])[-.](?=[0-9])|(?:1?[0-9]|2[0-6])[\s,/|]{1,3}){11,}(?:1?[0-9]|2[0-6])(?![\w\-])"
)
_BASE32 = re.compile(r"(?<![A-Za-z0-9])(?:[A-Z2-7]{24,}|[a-z2-7]{24,}|[0-9A-V]{24,})={0,6}(?![A-Za-z0-9])")
_BASE85 = re.compile(r"(?<!\S)(?:<~)?(?=\S{0,400}?[!-/:-@\[-`{-~]\S{0,400}?[!-/:-@\[-`{-~])[!-~]{20,}(?!\S)")
_UU = re.compile(r"\bbegin [0-7]{3} [^\n]{0,200}\n(?P<lines>(?:[ -`]{1,61}\n){1,4096}?)[` ]?\n?end\b")
_UNICODE = re.compile(r"(?:[Uu]\+[0-9A-Fa-f]{4,6}[\s,;]{0,2}){6,}")
_OCTAL = re.compile(r"(?:\\[0-7]{3}){6,}")
_CHR = re.compile(r"(?:(?:chr|char|CHR|CHAR)\(\s?\d{2,3}\s?\)\s?(?:\+|\.|&|\|\||,)?\s?){6,}")
_NATO_WORDS: Final = frozenset((*_SPOKEN.split()[1:], "alfa", "alpha", "juliet", "juliett", "whisky", "whiskey", "ray"))
_LEAST_NAMES: Final = 3
_LEAST_RUN: Final = 20
_DIGIT = re.compile("[0-9]")
_NUMBER = re.compile(r"\d+")
_UNSEEN: Final = "\u180e\u200b-\u200f\u2060-\u2064\ufeff\u034f\u00ad"
_BITS = re.compile(f"[{_UNSEEN}]{{32,}}")
_BLANKS: Final = str.maketrans("\r\n\t", "   ")
_SIGNS = re.compile(r"[!-/:-@\[-`{-~]")


def alphabets(text: str) -> Iterator[Piece]:
    """Every text found."""
    for pattern, read in _readers(text):
        for match in pattern.finditer(text):
            plain = read(match.group())
            is_english = pattern is _BITS or len(distinct(plain) & words()) >= _LEAST_WORDS
            if is_english and _is_printed(plain):
                yield Piece(*match.span(), plain)


def _readers(text: str) -> Iterator[tuple[re.Pattern[str], Callable[[str], str]]]:
    """Those whose signs are in the text: of ordinary text there is little to be read again."""
    if max(map(len, text.split()), default=0) >= _LEAST_RUN:
        yield from ((_BASE32, _base32), (_BASE85, _base85))
    if len(_DIGIT.findall(text)) >= _LEAST_RUN // 2:
        yield from ((_PLACES, _placed), (_UNICODE, _unicode), (_OCTAL, _octal), (_CHR, _chr))
    if len(_NATO_WORDS.intersection(distinct(text))) >= _LEAST_NAMES:
        yield _NATO, _spelled
    if "begin " in text:
        yield _UU, _uu
    if not text.isascii():
        yield from ((_BRAILLE, _braille), (_BITS, _bits))


def _is_printed(text: str) -> bool:
    return text.translate(_BLANKS).isprintable()


def _braille(run: str) -> str:
    return run.translate(CELLS)


def _spelled(run: str) -> str:
    said = re.split(r"[\s,;.\-/|]+", run.strip(" ,;./|\n").replace("x-ray", "xray").replace("X-ray", "xray"))
    letters = (next((chr(97 + at) for at, name in enumerate(_NAMES) if name.fullmatch(word)), "") for word in said)
    return " ".join(segmented("".join(letters)))


def _placed(run: str) -> str:
    """Words with hyphens between their letters, or one row of letters."""
    rows = [[int(code) for code in _NUMBER.findall(word)] for word in re.split(r"[\s,/|]+", run)]
    if not all(1 <= code <= 26 for row in rows for code in row):
        return ""
    spelled = ["".join(chr(96 + code) for code in row) for row in rows]
    return " ".join(spelled if any(len(word) > 1 for word in spelled) else segmented("".join(spelled)))


def _base32(run: str) -> str:
    signs = run.rstrip("=").upper()
    padded = signs + "=" * (-len(signs) % 8)
    for decode in (base64.b32decode, base64.b32hexdecode):
        if plain := _ascii(partial(decode, padded)):
            return plain
    return ""


def _base85(run: str) -> str:
    signs = run.removeprefix("<~").removesuffix("~>")
    if len(_SIGNS.findall(signs)) < len(signs) // 20:
        return ""
    return _ascii(lambda: base64.a85decode(signs)) or _ascii(lambda: base64.b85decode(signs))


def _uu(run: str) -> str:
    match = _UU.match(run)
    lines = match["lines"].split("\n") if match else []
    return _ascii(lambda: b"".join(binascii.a2b_uu(line) for line in lines if line.strip("` ")))


def _ascii(decode: Callable[[], bytes]) -> str:
    try:
        return decode().decode("ascii")
    except (ValueError, UnicodeDecodeError):  # no text
        return ""


def _codes(base: int, pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(run: str) -> str:
        codes = [int(code, base) for code in pattern.findall(run)]
        return "".join(chr(code) if 0 < code < 0x110000 else " " for code in codes)

    return read


def _bits(run: str) -> str:
    """Two of them, and either may be the one. Nobody has an honest use for that many: what they spell is a text."""
    signs = sorted(set(run))
    if len(signs) != 2:
        return ""
    for size in (8, 7):
        for zero in (0, 1):
            bits = run.translate({ord(signs[zero]): "0", ord(signs[1 - zero]): "1"})
            data = bytes(int(bits[at : at + size], 2) for at in range(0, len(bits) - size + 1, size))
            plain = data.decode("utf-8", "replace")
            if _is_printed(plain) and (plain.isascii() or distinct(plain) & words()):
                return plain
    return ""


_unicode: Final = _codes(16, re.compile(r"\+([0-9A-Fa-f]+)"))
_octal: Final = _codes(8, re.compile("[0-7]{3}"))
_chr: Final = _codes(10, _NUMBER)
