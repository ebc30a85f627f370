"""Check digits of numbers that people are known by, each from its public specification.

A function is given the number as it was written and says whether its check digits hold; separators are skipped. Every
one of them returns False for what is not such a number at all, and none raises. tests compare them with python-stdnum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_NOT_ALNUM: Final = re.compile(r"[^0-9A-Za-z]")
_GROUP: Final = re.compile(r"[0-9A-Za-z]+")
_LONGEST: Final = 64
_MOST_GROUPS: Final = 8
"""So many can be tried in all ways for each match of a pattern without the text's author choosing the cost."""
_VERHOEFF_STEPS: Final = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
_IBAN_LENGTHS: Final[Mapping[str, int]] = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FK FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
"""Of the registry of ISO 13616, by country."""


def plain(text: str) -> str:
    """Without separators, in capitals."""
    return _NOT_ALNUM.sub("", text).upper()


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1: payment cards and many other numbers."""
    digits = plain(text)
    if not digits.isdecimal() or len(digits) < 2:
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(two // 10 + two % 10 for two in doubled)) % 10 == 0


def card(text: str) -> bool:
    """A payment card: issuer, length and Luhn; a number of one repeated digit is nobody's."""
    digits = plain(text)
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits)


def iban_length(text: str) -> int:
    """How many letters and digits the account number that begins the text has; 0 for a country without any."""
    return _IBAN_LENGTHS.get(plain(text)[:2], 0)


def iban(text: str) -> bool:
    """ISO 13616: the length of its country, and ISO 7064 mod 97-10."""
    number = plain(text)
    return len(number) == _IBAN_LENGTHS.get(number[:2]) and _mod97(number[4:] + number[:4]) == 1


def _mod97(text: str) -> int:
    return int("".join(str(int(char, 36)) for char in text)) % 97


def verhoeff(text: str) -> bool:
    """Verhoeff's scheme over the dihedral group of order ten: Aadhaar."""
    digits, check = plain(text), 0
    if not digits.isdecimal():
        return False
    for at, digit in enumerate(reversed(digits)):
        check = _dihedral(check, int(_VERHOEFF_STEPS[at % 8][int(digit)]))
    return check == 0


def _dihedral(one: int, two: int) -> int:
    """Turns (0 to 4) and mirrored turns (5 to 9) of a pentagon, one after the other."""
    turned = (one + two if one < 5 else one - two) % 5
    return turned + (5 if (one < 5) != (two < 5) else 0)


def ssn(text: str) -> bool:
    """United States social security number: areas, groups and serials that are never given out."""
    digits = plain(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return len(digits) == 9 and area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def us_npi(text: str) -> bool:
    """National provider identifier: Luhn with the issuer prefix 80840."""
    digits = plain(text)
    return len(digits) == 10 and digits[0] in "12" and luhn("80840" + digits)


def us_routing(text: str) -> bool:
    """ABA routing number: weights 3, 7, 1."""
    digits = plain(text)
    if len(digits) != 9 or not digits.isdecimal():
        return False
    return sum(int(digit) * weight for digit, weight in zip(digits, (3, 7, 1) * 3, strict=True)) % 10 == 0


def uk_nhs(text: str) -> bool:
    """NHS number: weights 10 to 2, mod 11."""
    digits = plain(text)
    if len(digits) != 10 or not digits.isdecimal():
        return False
    check = -sum(int(digit) * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True)) % 11
    return check == int(digits[9])


def de_tax_id(text: str) -> bool:
    """Steuerliche Identifikationsnummer: one digit of the first ten twice or thrice, ISO 7064 mod 11,10."""
    digits = plain(text)
    if len(digits) != 11 or not digits.isdecimal() or digits[0] == "0":
        return False
    counts = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return counts[0] in (2, 3) and counts[1] == 1 and (11 - product) % 10 == int(digits[10])


def es_nif(text: str) -> bool:
    """DNI and NIE: the letter is the number mod 23."""
    number = plain(text)
    digits = number[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return len(number) == 9 and digits.isdecimal() and number[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23]


def fr_nir(text: str) -> bool:
    """Numéro de sécurité sociale: 97 less the number mod 97; Corsica's 2A and 2B count as 19 and 18."""
    number = plain(text)
    digits = number[:13].replace("2A", "19").replace("2B", "18")
    if len(number) != 15 or not (digits + number[13:]).isdecimal():
        return False
    return 97 - int(digits) % 97 == int(number[13:])


def in_aadhaar(text: str) -> bool:
    """Twelve digits, the first one 2 to 9, with Verhoeff's check digit; palindromes are not given out."""
    digits = plain(text)
    return len(digits) == 12 and digits[0] in "23456789" and digits != digits[::-1] and verhoeff(digits)


def _anything(_text: str) -> bool:
    return True


def held(check: Callable[[str], bool], text: str, fits: Callable[[str], bool] = _anything) -> tuple[int, int] | None:
    """Where in the text the check holds: all of it, or else the most of its groups that stand together and `fits`.

    A pattern for numbers in groups also takes the group that happens to stand beside them. A check that takes numbers
    of any length holds for one in ten of them, so what is left of a match has to be one itself.
    """
    if check(text):
        return 0, len(text)
    groups = [match.span() for match in _GROUP.finditer(text[:_LONGEST])]
    if len(text) > _LONGEST or not 1 < len(groups) <= _MOST_GROUPS:
        return None
    for count in range(len(groups) - 1, 0, -1):
        for first in range(len(groups) - count + 1):
            start, end = groups[first][0], groups[first + count - 1][1]
            if fits(text[start:end]) and check(text[start:end]):
                return start, end
    return None


CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    "luhn": luhn,
    "card": card,
    "iban": iban,
    "verhoeff": verhoeff,
    "ssn": ssn,
    "us_npi": us_npi,
    "us_routing": us_routing,
    "uk_nhs": uk_nhs,
    "de_tax_id": de_tax_id,
    "es_nif": es_nif,
    "fr_nir": fr_nir,
    "in_aadhaar": in_aadhaar,
}
"""What a pattern of a policy may be held to, by the name after `check:`."""
