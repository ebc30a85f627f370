"""A secret string in the spellings that a model can be talked into: backwards, with something between its characters,
shifted in the alphabet, as numbers, in base32 or base85.

A view (guards/views/) undoes what makes English; a random string makes none, so its spellings are looked for instead.
They are as rare as the string itself. Patterns are RE2's, to be read without regard to case.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from string import ascii_lowercase as _SMALL
from typing import Final

import re2

_BETWEEN: Final = "[^A-Za-z0-9]{0,4}"
"""Blanks, hyphens, quotes with a comma, an emoji, marks on the character before."""


def spellings(secret: str) -> str:
    """A pattern for a string of letters and digits of ASCII."""
    found = {_apart(secret), _apart(secret[::-1]), *_ciphers(secret), *_encoded(secret), *_numbers(secret)}
    return "|".join(sorted(found, key=lambda one: (-len(one), one)))


def _apart(secret: str) -> str:
    return _BETWEEN.join(secret)


def _ciphers(secret: str) -> Iterator[str]:
    orders = [*(_SMALL[shift:] + _SMALL[:shift] for shift in range(1, 26)), _SMALL[::-1]]
    for order in orders:
        if (changed := secret.lower().translate(str.maketrans(_SMALL, order))) != secret.lower():
            yield from (changed, changed[::-1])


def _encoded(secret: str) -> Iterator[str]:
    """As far as what follows the secret changes nothing."""
    data = secret.encode()
    base32 = base64.b32encode(data).decode()[: len(data) * 8 // 5]
    yield base32
    for turned in (data, data[::-1]):
        signs = base64.b64encode(turned).decode()[: len(data) * 4 // 3]
        yield from (_BETWEEN.join(map(re2.escape, one)) for one in (signs, signs[::-1]))
    yield from (
        re2.escape(encode(data).decode()[: len(data) // 4 * 5]) for encode in (base64.b85encode, base64.a85encode)
    )


def _numbers(secret: str) -> Iterator[str]:
    codes = secret.encode()
    for form in ("d", "o", "08b"):
        yield "[^0-9]{1,8}".join(f"0?{code:{form}}" for code in codes)
    yield "[^0-9A-Za-z]{0,3}".join(rf"(?:U\+|0x)?(?:00)?{code:02x}" for code in codes)
