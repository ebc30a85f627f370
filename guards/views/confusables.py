"""Letters that look like Latin ones, in the spirit of Unicode's security mechanisms (UTS 39), as tables of our own.

LOOKALIKES are letters of living scripts: they count only in words that a script alone does not explain. STYLED are
Latin letters drawn otherwise (small capitals, IPA, negative circles), which no orthography uses for running text.
TURNED are the ones that upside-down text is made of. Names of the characters in Unicode give the regular part.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LOOKALIKES: Final = {
    # Cyrillic
    **dict(zip("аеорсухіјѕԁһӏԛԝёїѵгкмнтвпи", "aeopcyxijsdhlqweivrkmhtbnu", strict=True)),
    **dict(zip("АВЕКМНОРСТУХІЈЅԌԜԚЁЇ", "ABEKMHOPCTYXIJSGWQEI", strict=True)),
    # Greek
    **dict(zip("αβγεηικνορτυχωϲϳάέήίόύώϊ", "abyenikvoptuxwcjaenioywi", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC", strict=True)),
    # Armenian
    **dict(zip("աօոսհցզյռք", "wonuhgqjnp", strict=True)),
    # Cherokee
    **dict(zip("ᎠᎡᎢᎥᎪᎫᎬᎳᎷᎻᏀᏃᏒᏚᏢᏦᏞᏟᏙᏕᏔᏴᏮ", "DRTiAJEWMHGZRSPKLCVSWBb", strict=True)),
    # Lisu
    **dict(zip("ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ", "BPDTGKJCZFMNLSRVHWXYAEIOU", strict=True)),
    # Coptic and Georgian
    **dict(zip("ⲟⲥⲣⲓⲭⲁⲉⲏⲕⲛⲧⲩ", "ocpixaehkntu", strict=True)),
    **dict(zip("ხყ", "by", strict=True)),
    # Turkish, where the text has no other letter of Turkish
    "ı": "i",
}
_SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])")
_NEGATIVE = re.compile(r"NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER ([A-Z])")
_SMALL_CAPITALS = (*range(0x1D00, 0x1D80), *range(0x250, 0x2B0), *range(0xA730, 0xA800))


def _named(codes: range | tuple[int, ...], pattern: re.Pattern[str]) -> dict[str, str]:
    """Characters whose name in Unicode says which letter they are."""
    names = {chr(code): pattern.fullmatch(unicodedata.name(chr(code), "")) for code in codes}
    return {char: match[1].lower() for char, match in names.items() if match}


STYLED: Final = {
    **_named(_SMALL_CAPITALS, _SMALL_CAPITAL),
    **_named(range(0x1F150, 0x1F18A), _NEGATIVE),
    **dict(zip("ɡɑɩʋꞵƖ", "gaivbl", strict=True)),
}
TURNED: Final = dict(zip("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ", "acefghijkmrtvwy", strict=True))
"""Upside-down `n` is `u` and the reverse; these two are exchanged only where the others are found."""
_FLAGS = (
    "AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CP CQ CR CU CV CW CX CY CZ DE DG DJ DK DM DO DZ EA EC EE EG EH ER ES ET "
    "EU FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU IC ID IE IL IM "
    "IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF "
    "MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK "
    "PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA TC "
    "TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM UN US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW "
)
REGIONS: Final = frozenset(_FLAGS.split())
"""Pairs of regional indicators that are a flag; all others are letters."""

_LOOKALIKE: Final = "".join(LOOKALIKES)
_WORD: Final = re.compile(f"[A-Za-z{_LOOKALIKE}]+")
_HAS_LATIN, _HAS_LOOKALIKE = re.compile("[A-Za-z]"), re.compile(f"[{_LOOKALIKE}]")
_WHOLE: Final = re.compile(rf"(?<!\w)[{_LOOKALIKE}]{{2,}}(?!\w)")
_NATIVE: Final = re.compile(f"(?![{_LOOKALIKE}])[\u0370-\u058f\u10a0-\u10ff\u13a0-\u13ff\u2c80-\u2cff\ua4d0-\ua4ff]")
_ENGLISH: Final = re.compile(r"[A-Za-z]{3}")


def disguised(text: str) -> list[tuple[int, int]]:
    """Words that mix Latin letters with look-alikes, and words of nothing else where no word explains the script."""
    if _HAS_LOOKALIKE.search(text) is None:
        return []
    spans = [match.span() for match in _WORD.finditer(text) if _is_mixed(match.group())]
    if _NATIVE.search(text) is None and _ENGLISH.search(text):
        spans = sorted({*spans, *(match.span() for match in _WHOLE.finditer(text))})
    return spans


def _is_mixed(word: str) -> bool:
    return not word.isascii() and _HAS_LATIN.search(word) is not None and _HAS_LOOKALIKE.search(word) is not None
