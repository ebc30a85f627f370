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
