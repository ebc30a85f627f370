"""What personal identifiers look like: a pattern, a check that holds, and words that have to stand near.

Shapes follow what the issuers publish. A number that could be anything (nine digits) counts only with a word near it
that says what it is; one with a form or check digits of its own counts alone. Words are looked for in the NEAR
characters before a candidate and the AFTER behind it, so the cost of a candidate is bounded. Patterns are RE2's and
read text in which look-alikes of ASCII are ASCII already (guards/views/folded.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from guards.rules import checksums

NEAR: Final = 48
AFTER: Final = 20
LOCALES: Final = ("de-DE", "en-GB", "en-IN", "en-US", "es-ES", "es-US", "fr-FR")


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which an entity is written."""

    label: str
    pattern: str
    """In RE2's syntax; what it matches is the entity."""
    check: Callable[[str], bool] | None = None
    near: str = ""
    """A pattern of words, one of which has to be near; empty: the form says enough."""
    locales: tuple[str, ...] = ()
    """Where it is used; empty: everywhere."""
    needs: str = ""
    """A character without which a text holds none; empty: a digit."""


def _words(*words: str) -> str:
    """Any of these, in any case. That they stand alone is seen by the reader: `\\b` of RE2 knows ASCII only."""
    return "(?i)" + "|".join(words)


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not address.is_unspecified and any(char.isdecimal() for char in text)  # `d::c` is code


def _has_digits(least: int, most: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        return least <= sum(char.isdecimal() for char in text) <= most and not _DATED.fullmatch(text)

    return check


def _is_phone(text: str) -> bool:
    digits = checksums.plain(text)
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2


def _is_card(text: str) -> bool:
    """In groups as on cards, or digit by digit; bytes in hexadecimal come in twos."""
    sizes = {len(group) for group in re.findall("[0-9]+", text)[:-1]}
    return (sizes <= {1} or min(sizes) >= 3) and checksums.card(text)


def _is_dvla(text: str) -> bool:
    """A British licence number holds the driver's birthday; a woman's month is 50 higher."""
    digits = checksums.plain(text)[5:11]
    return digits.isdecimal() and int(digits[1:3]) % 50 in range(1, 13) and int(digits[3:5]) in range(1, 32)


_MONTHS = (
    "jan(?:uary|uar|vier)?|feb(?:ruary|ruar|rero)?|f[ée]v(?:rier)?|mar(?:ch|s|zo)?|m[äa]rz|apr(?:il)?|avr(?:il)?|abril"
    "|mayo?|mai|june?|juni?o?|juin|july?|juli?o?|juillet|aug(?:ust)?|ao[uû]t|agosto|sept?(?:ember|embre|iembre)?"
    "|o[ck]t(?:ober|obre|ubre)?|nov(?:ember|embre|iembre)?|de[cz](?:ember)?|d[ée]cembre|dic(?:iembre)?|enero"
)
_DATE = (
    r"(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:(?:19|20)\d\d|\d\d)"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?i:(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|er|\.)?,?[ -](?:of |de )?"
    rf"(?:{_MONTHS})\.?,?[ -](?:de |del )?)(?:19|20)\d\d"
    rf"|(?i:(?:{_MONTHS})\.? (?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,? )(?:19|20)\d\d)"
)
_BIRTH = _words(
    r"d\.?o\.?b\.?",
    "born(?: on| in)?",
    "(?:date|day|time) of birth",
    "birth ?-?_?(?:day|date)",
    r"b\. ",
    "geboren(?: am)?",
    r"geb\.?",
    "geburts(?:datum|tag)",
    r"n[ée]e?(?: le)?",
    "date de naissance",
    r"f(?:echa)?\.? ?(?:de )?nac(?:imiento|\\.)?",
    r"nacid[oa](?: el)?",
    r"naci[óo](?: el)?",
)
_PHONE_WORDS = _words(
    r"tel(?:ephone|efon|éfono|efono|\.)?",
    "t[ée]l[ée]phone",
    "phones?",
    "call(?: me| us)?",
    "mobile",
    "cell(?: ?phone)?",
    "ring",
    "text me",
    "sms",
    "fax",
    "whatsapp",
    "handy(?:nummer)?",
    "mobil(?:nummer)?",
    "m[óo]vil",
    "celular",
    "portable",
    "llam[ae](?:me|dme|r)?",
    "appele[zr]?(?:-moi)?",
    "contact",
    "reach(?: me)?",
    "dial",
    "my number",
    "mi número",
    "meine nummer",
    "r[üu]ckruf",
    "joindre",
    "手机",
    "电话",
    "電話",
)
_LETTERS = r"\x{c0}-\x{1fff}\x{3040}-\x{d7ff}"
"""Outside ASCII, without punctuation: as ranges, because classes by name make a pattern too large."""
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
_VALUE = r"\b[A-Za-z]{0,4}[-/]?\d[A-Za-z0-9]{0,13}(?:[-/][A-Za-z0-9]{1,8}){0,2}\b"
_DATED = re.compile(
    r"\d{4}[-/](?:0?[1-9]|1[0-2])[-/](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/](?:0?[1-9]|[12]\d|3[01])[-/](?:\d\d){1,2}"
)

SHAPES: Final = (
    Shape(
        "email",
        rf"[A-Za-z0-9_%+'&*=?^{{|}}~{_LETTERS}-](?:[A-Za-z0-9._%+'&*=?^{{|}}~{_LETTERS}-]{{0,62}}"
        rf"[A-Za-z0-9_%+&*=?^{{|}}~{_LETTERS}-])?@(?:[A-Za-z0-9{_LETTERS}-]{{1,63}}\.){{1,8}}[A-Za-z{_LETTERS}]{{2,24}}",
        needs="@",
    ),
    Shape(
        "url",
        r"(?i)\b(?:https?://|ftps?://|wss?://|www\.)[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]}]",
        needs=".",
    ),
    Shape("ip", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b", _is_ip),
    Shape("ip", r"(?i)\b[0-9a-f]{1,4}:(?:[0-9a-f]{0,4}:){1,7}[0-9a-f.]{0,15}\b", _is_ip, needs=":"),
    Shape("credit_card", r"\b[2-6](?:[ .\x{a0}-]?\d){12,18}\b", _is_card),
    Shape("iban", r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}", None),
    Shape("phone", r"(?:\+|\b00)[1-9](?:[ ().\x{a0}/-]{0,3}\d){6,14}\b", _is_phone),
    Shape(
        "phone",
        r"(?:\(\s?[2-9]\d\d\s?\) ?|\b(?:1[-. ])?[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{4}\b",
        _is_phone,
        locales=("en-US", "es-US"),
    ),
    Shape("phone", r"\b0\d{2,4}[ -]\d{3,4}[ -]?\d{3,4}\b", _is_phone, locales=("en-GB",)),
    Shape("phone", r"\b0[1-9](?:[ .]\d\d){4}\b", _is_phone, locales=("fr-FR",)),
    Shape("phone", r"\b[6-9]\d{4}[ -]\d{5}\b", _is_phone, locales=("en-IN",)),
    Shape("phone", r"(?:\(0?\d{1,5}\) ?|\b)\d(?:[ ./-]{0,2}\d){5,13}\b", _is_phone, near=_PHONE_WORDS),
    Shape("ssn", r"\b\d{3}[-. ]\d{2}[-. ]\d{4}\b", checksums.ssn, locales=("en-US", "es-US")),
    Shape(
        "ssn",
        r"\b\d{9}\b",
        checksums.ssn,
        _words(r"s\.?s\.?n\.?", "soc(?:ial)?(?: security)?", "seguro social", "soc sec"),
        ("en-US", "es-US"),
    ),
    Shape("dob", rf"\b{_DATE}\b", near=_BIRTH),
    Shape(
        "mrn",
        _VALUE,
        _has_digits(4, 12),
        _words(
            "m\\.?r\\.?n\\.?",
            "med(?:ical)?\\.? rec(?:ord)?s?",
            "patient(?: id| number| no\\.?| #)",
            "chart(?: number| no\\.?| #)",
            "hosp(?:ital)?\\.? (?:id|number|no\\.?)",
            "health record",
            "n[úu]mero de (?:historia|expediente)(?: cl[íi]nica)?",
            "historia cl[íi]nica",
            "patienten(?:nummer|-id|akte)",
            "num[ée]ro (?:de )?(?:patient|dossier)",
        ),
    ),
    Shape(
        "insurance_id",
        _VALUE,
        _has_digits(4, 14),
        _words(
            "(?:member|subscriber|policy|insurance|plan|group|beneficiary|medicaid|medicare|claim)"
            "(?: ?(?:id|number|no\\.?|#|identifier))+",
            "health (?:plan|insurance)",
            "n[úu]mero de (?:p[óo]liza|afiliado|seguro)",
            "p[óo]liza",
            "versicherten(?:nummer|-?nr\\.?)",
            "versicherungsnummer",
            "num[ée]ro d[e'] ?(?:adh[ée]rent|assur[ée])",
        ),
    ),
    Shape(
        "insurance_id",  # Medicare beneficiary identifier
        r"\b[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y]{2}\d{2}\b",
        locales=("en-US", "es-US"),
    ),
    Shape(
        "passport",
        r"\b[A-Z]{0,3}\d{6,9}\b|\b[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\b|\b\d{2}[A-Z]{2}\d{5}\b",
        _has_digits(3, 9),
        _words("passports?", "pasaporte", "passeport", "reisepass(?:nummer)?", "pass(?:-nr\\.?|nummer)"),
    ),
    Shape(
        "driver_licence",
        r"\b(?:[A-Z]{1,5}[- ]?)?\d(?:[- ]?[A-Z0-9]){4,16}\b",
        _has_digits(4, 17),
        _words(
            "driv(?:er|ing)(?:['’]?s)? ?lic(?:en[cs]es?)?",
            "d\\.?l\\.?(?: ?#| number| no\\.?)",
            "licen[cs]e (?:number|no\\.?|#)",
            "f[üu]hrerschein(?:nummer|-?nr\\.?)?",
            "permis de conduire",
            "(?:licencia|permiso|carn[ée]t?) de conducir",
        ),
    ),
    Shape("driver_licence", r"\b[A-Z]{1,5}9{0,4}\d{6}[A-Z9]{2}\d[A-Z]{2}\b", _is_dvla, locales=("en-GB",)),
    Shape("uk_nhs", r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b", checksums.uk_nhs, _words("nhs"), ("en-GB",)),
    Shape(
        "uk_nino",
        r"(?i)\b[abceghj-prstw-z][abceghj-nprstw-z] ?\d\d ?\d\d ?\d\d ?[a-d]\b",
        lambda text: checksums.plain(text)[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"),
        locales=("en-GB",),
    ),
    Shape("de_tax_id", r"\b\d{2} \d{3} \d{3} \d{3}\b", checksums.de_tax_id, locales=("de-DE",)),
    Shape(
        "de_tax_id",
        r"\b\d{11}\b",
        checksums.de_tax_id,
        _words(
            "steuer(?:liche)?[- ]?(?:id(?:entifikationsnummer|nr\\.?)?|identifikationsnummer|nummer)",
            "idnr\\.?",
            "tin",
            "tax id",
        ),
        ("de-DE",),
    ),
    Shape(
        "es_nif",
        r"(?i)\b(?:\d{8}|\d{1,2}\.\d{3}\.\d{3}|[xyz][- ]?\d{7})[- ]?[a-z]\b",
        checksums.es_nif,
        locales=("es-ES",),
    ),
    Shape(
        "fr_nir",
        r"(?i)\b[1-478] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[ab]) ?\d{3} ?\d{3} ?\d\d\b",
        checksums.fr_nir,
        locales=("fr-FR",),
    ),
    Shape("in_aadhaar", r"\b[2-9]\d{3}[ -]\d{4}[ -]\d{4}\b", checksums.in_aadhaar, locales=("en-IN",)),
    Shape(
        "in_aadhaar", r"\b[2-9]\d{11}\b", checksums.in_aadhaar, _words("aadh?aa?r", "uid(?:ai)?", "आधार"), ("en-IN",)
    ),
    Shape("in_pan", r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]\b", locales=("en-IN",)),
    Shape("us_npi", r"\b[12]\d{9}\b", checksums.us_npi, _words("npi", "provider identifier"), ("en-US", "es-US")),
    Shape(
        "us_routing",
        r"\b\d{9}\b",
        checksums.us_routing,
        _words("routing", "aba", "rtn"),
        ("en-US", "es-US"),
    ),
    Shape(
        "bank_account",
        r"\b\d(?:[ -]?\d){5,16}\b",
        None,
        _words(
            "(?:bank |checking |savings )?(?:account|acct\\.?|a/c)",
            "konto(?:nummer|-nr\\.?)?",
            "num[ée]ro de compte",
            "(?:n[úu]mero de )?cuenta(?: bancaria)?",
            "sort code",
        ),
    ),
    Shape(
        "address",
        r"\b\d{1,6}[A-Z]?,? (?:[NSEW]{1,2}\.? |(?:North|South|East|West) )?"
        rf"(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}"
        rf"{_US_STREET}\b\.?{_UNIT}(?:,? (?:{_NAME} ){{0,2}}{_NAME},? {_STATE}\b(?: \d{{5}}(?:-\d{{4}})?\b)?)?",
        locales=("en-US", "es-US"),
    ),
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
    Shape("address", r"(?i)\bp\.?\s?o\.? box \d{1,8}\b", locales=("en-US", "es-US", "en-GB")),
    Shape(
        "address",
        rf"\b(?:(?i:flat|apt\.?|apartment|unit) \w{{1,4}},? )?\d{{1,4}}[A-Za-z]?,? (?:{_NAME} ){{1,4}}{_UK_STREET}\b"
        rf"(?:,? [A-Z][a-z'-]{{1,20}}){{0,4}}(?:,? {_POSTCODE})?",
        locales=("en-GB",),
    ),
    Shape(
        "address",
        rf"\b{_POSTCODE}\b",
        near=_words("address", "post ?code", "lives? (?:at|in)", "street", "road", "deliver(?:y|ed)?(?: to)?"),
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
        r"(?i:n\.?[ºo°]? ?|núm\.? ?)?\d{1,4}"
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
LABELS: Final = tuple(dict.fromkeys(shape.label for shape in SHAPES))
CONFIGURABLE: Final = ("mrn", "insurance_id", "bank_account", "driver_licence", "passport")
"""Entities whose form every issuer chooses: a policy may give its own."""
UNFINDABLE: Final = ("person", "location", "organisation", "organization", "nationality", "age", "occupation")
"""What only a model can tell from other words."""
