"""What postal addresses look like, country by country: a number and a street with a word for one, and what follows.

Patterns are RE2's (guards/rules/entity_shapes.py says how they are read). Streets without a word for one, and towns
alone, have no form that could be told from other names.
"""

from __future__ import annotations

from typing import Final

from guards.rules.entity_shape import Shape, told_by

_NAME = r"[A-Z][A-Za-z'’.-]{0,20}"
_US_STREET = (
    "(?i:street|st|avenue|ave?|road|rd|boulevard|blvd|drive|dr|lane|ln|court|ct|circle|cir|place|pl|terrace|ter"
    "|way|parkway|pkwy|highway|hwy|square|sq|trail|trl|loop|alley|route|rte|plaza)"
)
_UK_STREET = (
    "(?i:street|st|road|rd|avenue|ave|lane|close|drive|crescent|gardens|grove|place|terrace"
    "|way|court|square|row|mews|hill|park)"
)
_POSTCODE = r"(?:[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2})"
_UNIT = r"(?:,? (?i:apt|apartment|unit|suite|ste|floor|fl|flat|#)\.? ?#?[A-Za-z0-9-]{1,6})?"
_STATE = (
    "(?:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]"
    "|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY])"
)
_TOWN = rf"(?:,? (?:{_NAME} ){{0,2}}{_NAME},? {_STATE}\b(?: \d{{5}}(?:-\d{{4}})?\b)?)?"
_QUARTER = r"(?: (?:NW|NE|SW|SE|N|S|E|W)\b\.?)?"
_HOME = told_by(
    "(?:my|our|his|her|their) (?:place|house|home|address)",
    "lives? (?:at|on|in)",
    "living (?:at|on)",
    "address",
    "(?:ship|shipped|mail|mailed|send|sent|deliver|delivered|moved?|come)(?: it| them| this)? (?:to|over to)",
)
_FLOOR = r"(?:,? \d{1,2} ?[oaºª]\b\.?(?:,? ?(?i:izq|izda|dcha|der|[A-Z])\b\.?)?)?"
"""`2º B`; a sign that stands high is read as its letter."""

ADDRESSES: Final = (
    Shape(
        "address",
        r"\b\d{1,6}[A-Z]?,? (?:[NSEW]{1,2}\.? |(?:North|South|East|West) )?"
        rf"(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}"
        rf"{_US_STREET}\b\.?{_QUARTER}{_UNIT}{_TOWN}",
        locales=("en-US", "es-US"),
    ),
    Shape(
        "address",  # as it is typed in a hurry
        rf"(?i)\b\d{{1,5}} (?:[nsew]\.? )?[a-z]{{3,15}} (?:[a-z]{{3,15}} )?{_US_STREET}\b{_UNIT}",
        near=_HOME,
        locales=("en-US", "es-US", "en-GB"),
    ),
    Shape(
        "address",
        r"\b\d{1,6} (?:Calle|Avenida|Camino|Paseo|Plaza|Via|Rancho) (?:(?i:de|del|la|las|los|el) ){0,2}"
        rf"{_NAME}(?: {_NAME}){{0,2}}{_UNIT}{_TOWN}",
        locales=("en-US", "es-US"),
    ),
    Shape("address", r"\b\d{3,6} (?:FM|RM|CR) \d{2,4}\b", locales=("en-US", "es-US")),
    Shape("address", r"(?i)\b(?:rr|r\.r\.|rural route|hc) ?#?\d{1,3},? box \d{1,6}\b", locales=("en-US", "es-US")),
    Shape(
        "address",
        r"\b\d{1,6} (?i:(?:state |county |old )?(?:highway|hwy|route|rte|road)) \d{1,4}\b",
        locales=("en-US", "es-US"),
    ),
    Shape(
        "address",
        r"(?:[A-ZÄÖÜ][\pL.-]{1,20} ){1,3}(?:Straße|Strasse|Str\.|Allee|Platz|Weg|Ring|Damm|Ufer|Gasse|Chaussee|Markt)"
        r" \d{1,4} ?[a-z]?\b(?:,? \d{5} [A-ZÄÖÜ][a-zäöüß-]+)?",
        locales=("de-DE",),
    ),
    Shape("address", rf"\b(?i:p\.?\s?o\.? box) \d{{1,8}}\b{_TOWN}", locales=("en-US", "es-US", "en-GB")),
    Shape(
        "address",  # a number, names, and a whole postcode at the end of them
        r"\b\d{1,4}[A-Za-z]?,? [A-Z][A-Za-z'’-]{1,15}(?:,? (?:[A-Z][A-Za-z'’-]{1,15}|y|yr|of|the|on)){1,4},? "
        rf"{_POSTCODE}\b",
        locales=("en-GB",),
    ),
    Shape(
        "address",
        rf"\b(?:(?i:flat|apt\.?|apartment|unit) \w{{1,4}},? )?\d{{1,4}}[A-Za-z]?,? (?:{_NAME} ){{1,4}}{_UK_STREET}\b"
        rf"(?:,? [A-Z][a-z'-]{{1,20}}){{0,4}}(?:,? {_POSTCODE})?",
        locales=("en-GB",),
    ),
    Shape(
        "address",
        rf"\b{_POSTCODE}\b",
        near=told_by("address", "post ?code", "lives? (?:at|in)", "street", "road", "deliver(?:y|ed)?(?: to)?"),
        locales=("en-GB",),
    ),
    Shape(
        "address",
        r"[A-ZÄÖÜ][a-zäöüß-]{1,30}(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|damm|ufer) \d{1,4} ?[a-z]?\b"
        r"(?:,? \d{5} [A-ZÄÖÜ][a-zäöüß-]+)?",
        locales=("de-DE",),
    ),
    Shape(
        "address",
        r"(?i:\b(?:calle|c/|avenida|avda?\.?|plaza|paseo|carrera|camino)) ?(?:(?i:de|del|la|las|los|el) ){0,3}"
        r"[A-ZÁÉÍÓÚÑ][\pL]{1,20}(?: (?:(?i:de|del|la|y) ){0,2}[A-ZÁÉÍÓÚÑ][\pL]{1,20}){0,3},? "
        rf"(?i:n\.?[ºo°]? ?|núm\.? ?)?\d{{1,4}}\b{_FLOOR}"
        r"(?:,? \d{5} [A-ZÁÉÍÓÚÑ][\pL]+)?",
        locales=("es-ES", "es-US"),
    ),
    Shape(
        "address",
        r"\b\d{1,4}(?: ?(?i:bis|ter))?,? (?i:rue|avenue|av\.|boulevard|bd|place|chemin|impasse|all[ée]e|quai|route) "
        r"(?:(?i:de|du|des|la|le|les) |(?i:de l'|d'|l')){0,3}[\pL][\pL'’-]{1,20}(?: [A-ZÀ-Ý][\pL'’-]{1,20}){0,3}"
        r"(?:,? \d{5} [A-ZÀ-Ý][\pL-]+)?",
        locales=("fr-FR",),
    ),
)
