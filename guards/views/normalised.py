"""The text as a careful reader would type it: nothing invisible; full-width, mathematical and joined letters plain, and
digits of a script that the text does not write in.

Invisible characters go where no script needs them: joiners stay in Persian, Indic and emoji sequences, tag characters
in the three flags that are made of them, selectors on pictures. Then NFKC, in pieces between which normal forms never
join, so that each character knows where it stood; a pile of more than 30 marks is taken apart, as UAX 15 allows.
"""

from __future__ import annotations

import re
import unicodedata

from guards.rules.base import CHUNK
from guards.rules.unicode import JOINING
from guards.views.folded import IGNORABLE, plain_digits
from guards.views.mapped import Edits, Mapped

PICTURES = "\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_ALPHABETS = "A-Za-z\u00c0-\u024f\u0370-\u052f"
_FLAG = "\U0001f3f4" + "(?:{})\U000e007f".format(
    "|".join("".join(chr(0xE0000 + ord(char)) for char in region) for region in ("gbeng", "gbsct", "gbwls"))
)
_HIDDEN = re.compile(
    f"(?P<flag>{_FLAG})|(?<![{JOINING}{PICTURES}])[\u200c\u200d](?![{JOINING}])"
    f"|(?<=[{_ALPHABETS}])[\ufe0e\ufe0f]|(?![\u200c\u200d\ufe0e\ufe0f])[{IGNORABLE}]"
)
_ASCII = re.compile("[\x00-\x7f]")
_TYPOGRAPHY = re.compile(
    "[\xa0\xb2-\xb4\xb9\xbc-\xbe\u2002-\u200a\u2026\u202f\u2033\u2034\u2103\u2116\u2122\u2460-\u2473\u3000"
    "\u0e33\u0eb3\u3131-\u318e\uff01-\uff03\uff05-\uff0f\uff1a-\uff1f\uff5e\uff61-\uff9f]+"
)
"""Changed by NFKC, common in prose and in ordinary Thai, Korean, Chinese and Japanese, no disguise for a letter."""
_FOREIGN = re.compile("[^\x00-\x7f]+")

_JOINS = (
    "\u0300-\u034e\u0350-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07eb-\u07f3"
    "\u07fd\u0816-\u0819\u081b-\u0823\u0825-\u0827\u0829-\u082d\u0859-\u085b\u0898-\u089f\u08ca-\u08e1"
    "\u08e3-\u08ff\u093c\u094d\u0951-\u0954\u09bc\u09be\u09cd\u09d7\u09fe\u0a3c\u0a4d\u0abc\u0acd\u0b3c\u0b3e"
    "\u0b4d\u0b56\u0b57\u0bbe\u0bcd\u0bd7\u0c3c\u0c4d\u0c55\u0c56\u0cbc\u0cc2\u0ccd\u0cd5\u0cd6\u0d3b\u0d3c"
    "\u0d3e\u0d4d\u0d57\u0dca\u0dcf\u0ddf\u0e38-\u0e3a\u0e48-\u0e4b\u0eb8-\u0eba\u0ec8-\u0ecb\u0f18\u0f19\u0f35"
    "\u0f37\u0f39\u0f71-\u0f75\u0f7a-\u0f7d\u0f80-\u0f84\u0f86\u0f87\u0fb5\u0fb7\u0fc6\u102e\u1037\u1039\u103a"
    "\u108d\u1161-\u1175\u11a8-\u11c2\u135d-\u135f\u1714\u1715\u1734\u17d2\u17dd\u18a9\u1939-\u193b\u1a17\u1a18"
    "\u1a60\u1a75-\u1a7c\u1a7f\u1ab0-\u1abd\u1abf-\u1ace\u1b34\u1b35\u1b44\u1b6b-\u1b73\u1baa\u1bab\u1be6"
    "\u1bf2\u1bf3\u1c37\u1cd0-\u1cd2\u1cd4-\u1ce0\u1ce2-\u1ce8\u1ced\u1cf4\u1cf8\u1cf9\u1dc0-\u1dff"
    "\u20d0-\u20dc\u20e1\u20e5-\u20f0\u2cef-\u2cf1\u2d7f\u2de0-\u2dff\u302a-\u302f\u3099\u309a\u3133"
    "\u3135\u3136\u313a-\u313f\u314f-\u3163\ua66f\ua674-\ua67d\ua69e\ua69f\ua6f0\ua6f1\ua806\ua82c\ua8c4"
    "\ua8e0-\ua8f1\ua92b-\ua92d\ua953\ua9b3\ua9c0\uaab0\uaab2-\uaab4\uaab7\uaab8\uaabe\uaabf\uaac1\uaaf6\uabed"
    "\ufb1e\ufe20-\ufe2f\uff9e\uff9f\uffa3\uffa5\uffa6\uffaa-\uffaf\uffc2-\uffc7\uffca-\uffcf\uffd2-\uffd7"
    "\uffda-\uffdc\U000101fd\U000102e0\U00010376-\U0001037a\U00010a0d\U00010a0f\U00010a38-\U00010a3a\U00010a3f"
    "\U00010ae5\U00010ae6\U00010d24-\U00010d27\U00010eab\U00010eac\U00010f46-\U00010f50\U00010f82-\U00010f85"
    "\U00011046\U00011070\U0001107f\U000110b9\U000110ba\U00011100-\U00011102\U00011127\U00011133\U00011134"
    "\U00011173\U000111c0\U000111ca\U00011235\U00011236\U000112e9\U000112ea\U0001133b\U0001133c\U0001133e"
    "\U0001134d\U00011357\U00011366-\U0001136c\U00011370-\U00011374\U00011442\U00011446\U0001145e\U000114b0"
    "\U000114ba\U000114bd\U000114c2\U000114c3\U000115af\U000115bf\U000115c0\U0001163f\U000116b6\U000116b7"
    "\U0001172b\U00011839\U0001183a\U00011930\U0001193d\U0001193e\U00011943\U000119e0\U00011a34\U00011a47"
    "\U00011a99\U00011c3f\U00011d42\U00011d44\U00011d45\U00011d97\U00016af0-\U00016af4\U00016b30-\U00016b36"
    "\U00016ff0\U00016ff1\U0001bc9e\U0001d165-\U0001d169\U0001d16d-\U0001d172\U0001d17b-\U0001d182"
    "\U0001d185-\U0001d18b\U0001d1aa-\U0001d1ad\U0001d242-\U0001d244\U0001e000-\U0001e006\U0001e008-\U0001e018"
    "\U0001e01b-\U0001e021\U0001e023\U0001e024\U0001e026-\U0001e02a\U0001e130-\U0001e136\U0001e2ae"
    "\U0001e2ec-\U0001e2ef\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a"
)
"""Characters that a normal form may draw into the one before them: marks, and what composes (Unicode 14)."""
_CLUSTER = re.compile(f"[\x00-\x7f][{_JOINS}]{{1,30}}|[^\x00-\x7f][{_JOINS}]{{0,30}}")


def normalised(base: Mapped) -> Mapped | None:
    """None when it reads the same, but for the typography of ordinary prose."""
    if base.text.isascii():
        return None
    shown = _shown(base)
    plain = _compatible(shown or base) or shown
    return _digits(plain or base) or plain


def _shown(base: Mapped) -> Mapped | None:
    edits = Edits(base)
    for match in _HIDDEN.finditer(base.text):
        if match["flag"] is None:
            edits.replace(*match.span(), "")
    return edits.done()


def _digits(base: Mapped) -> Mapped | None:
    """Digits of a script of which the text has no letter: whoever writes Arabic or Hindi has digits of their own."""
    if plain_digits(base.text) == base.text:
        return None
    written = {ord(char) >> 8 for char in set(base.text) if char > "\x7f" and char.isalpha()}
    edits = Edits(base)
    for at, char in enumerate(base.text):
        if char > "\x7f" and char.isdecimal() and ord(char) >> 8 not in written:
            edits.replace(at, at + 1, str(unicodedata.decimal(char)))
    return edits.done()


def _compatible(base: Mapped) -> Mapped | None:
    edits = Edits(base)
    is_disguised = False
    text = base.text
    for low, high in _pieces(text):
        for run in _FOREIGN.finditer(text, low, high):
            start = max(run.start() - 1, low)  # the letter before may be what the first mark belongs to
            if unicodedata.is_normalized("NFKC", text[start : run.end()]):
                continue
            for match in _CLUSTER.finditer(text, start, run.end()):
                char = match.group()
                plain = unicodedata.normalize("NFKC", char)
                if plain != char:
                    edits.replace(*match.span(), plain)
                    is_disguised = is_disguised or _TYPOGRAPHY.fullmatch(char) is None
    return edits.done() if is_disguised else None


def _pieces(text: str) -> list[tuple[int, int]]:
    """Cut before an ASCII character, where normal forms never join; without one in reach, anywhere."""
    cuts = [0]
    while len(text) - cuts[-1] > CHUNK:
        near = _ASCII.search(text, cuts[-1] + CHUNK, cuts[-1] + 2 * CHUNK)
        cuts.append(near.start() if near else cuts[-1] + CHUNK)
    return list(zip(cuts, [*cuts[1:], len(text)], strict=True))
