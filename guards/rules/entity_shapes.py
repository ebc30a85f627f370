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
from typing import Final

from guards.rules import checksums
from guards.rules.entity_addresses import ADDRESSES
from guards.rules.entity_shape import Shape, told_by

NEAR: Final = 48
AFTER: Final = 20
LOCALES: Final = ("de-DE", "en-GB", "en-IN", "en-US", "es-ES", "es-US", "fr-FR")


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
    digits = checksums.plain(_EXTENDED.split(text)[0])
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2


def _is_card(text: str) -> bool:
    """In groups as on cards, or digit by digit; bytes in hexadecimal come in twos."""
    sizes = {len(group) for group in re.findall("[0-9]+", text)[:-1]}
    return (sizes <= {1} or min(sizes) >= 3) and checksums.card(text)


def _is_dvla(text: str) -> bool:
    """A British licence number holds the driver's birthday; a woman's month is 50 higher."""
    digits = checksums.plain(text)[5:11]
    return digits.isdecimal() and int(digits[1:3]) % 50 in range(1, 13) and int(digits[3:5]) in range(1, 32)


def _is_spoken_email(text: str) -> bool:
    """`look at the dot com` is no address."""
    told = re.fullmatch(r"[^@]*\S at ([a-z0-9-]+)(?: dot [a-z0-9-]+)+", text.lower())
    return told is not None and told[1] not in _ARTICLES


_ARTICLES = frozenset(("a", "an", "any", "each", "my", "our", "some", "that", "the", "their", "this", "which", "your"))
_EXTENDED = re.compile(r"(?i)[,;]? ?(?:e?xt|x|durchwahl|poste)")
_EXTENSION = r"(?:,? ?(?i:ext|extn|extension|x|durchwahl|poste)\.? ?\d{1,6}\b)?"
_TOP = "(?i:com|org|net|edu|gov|io|co|info|us|uk|de|es|fr|it|mx|in|eu|example|test)"
_MONTHS = (
    "jan(?:uary|uar|vier)?|feb(?:ruary|ruar|rero)?|f[ée]v(?:rier)?|mar(?:ch|s|zo)?|m[äa]rz|apr(?:il)?|avr(?:il)?|abril"
    "|mayo?|mai|june?|juni?o?|juin|july?|juli?o?|juillet|aug(?:ust)?|ao[uû]t|agosto|sept?(?:ember|embre|iembre)?"
    "|o[ck]t(?:ober|obre|ubre)?|nov(?:ember|embre|iembre)?|de[cz](?:ember)?|d[ée]cembre|dic(?:iembre)?|enero"
    "|gen(?:naio)?|febbraio|aprile|mag(?:gio)?|giu(?:gno)?|lug(?:lio)?|set(?:tembre)?|ott(?:obre)?|dicembre"
)
_DATE = (
    r"(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:(?:19|20)\d\d|\d\d)"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?i:(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|er|\.)?,?[ -]?(?:of |de )?"
    rf"(?:{_MONTHS})\.?,?[ -]?(?:de |del )?)(?:(?:19|20)\d\d|['’]\d\d\b)"
    rf"|(?i:(?:{_MONTHS})\.? (?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,? )(?:(?:19|20)\d\d|['’]\d\d\b))"
)
_BIRTH = told_by(
    r"d\.?o\.?b\.?",
    "born(?: on| in)?",
    "(?:date|day|time)[ _-]?of[ _-]?birth",
    "birth ?-?_?(?:day|date)",
    r"nat[oa](?: il)?",
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
_PHONE_WORDS = told_by(
    r"tel(?:ephone|efon|éfono|efono|\.)?",
    "t[ée]l[ée]phone",
    "phones?",
    "call(?: me| us)?",
    "mobile",
    "cell(?: ?phone)?",
    "ring",
    "te?xt me",
    "txt",
    "erreichbar(?: unter)?",
    "ruf(?:en)?(?: sie)?(?: mich)? an",
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
        "email",
        rf"[A-Za-z0-9._%+-]{{1,64}} @ ?(?:[A-Za-z0-9-]{{1,63}}\.){{1,4}}{_TOP}\b",
        needs="@",
    ),
    Shape(
        "email",
        r"(?i)\b[a-z0-9_%+.-]{1,64} ?[\[({] ?at ?[\])}] ?[a-z0-9-]{1,63}"
        r"(?: ?[\[({] ?(?:dot|\.) ?[\])}] ?[a-z0-9-]{1,63}|\.[a-z0-9-]{1,63}| dot [a-z0-9-]{1,63}){1,4}\b",
        needs="t",
    ),
    Shape(
        "email",
        r"(?i)\b[a-z0-9_-]{1,40}(?:(?: (?:dot|underscore|dash) |[._-])[a-z0-9_-]{1,40}){0,3} at [a-z0-9-]{2,40}"
        rf"(?: dot [a-z0-9-]{{2,40}}){{0,2}} dot {_TOP}\b",
        _is_spoken_email,
        needs=" ",
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
    Shape("phone", rf"\+[1-9](?:[ ().-]{{0,2}}\d){{6,14}}\b{_EXTENSION}", _is_phone),
    Shape(
        "phone",
        rf"(?:\(\s?[2-9]\d\d\s?\) ?|\b(?:1[-. ])?[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{{4}}\b{_EXTENSION}",
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
        told_by(r"s\.?s\.?n\.?", "soc(?:ial)?(?: security)?", "seguro social", "soc sec"),
        ("en-US", "es-US"),
    ),
    Shape(
        "ssn",
        r"\b\d{4}\b",
        near=told_by(
            r"last (?:four|4)(?: digits)?(?: of)?(?: (?:my|your|the|his|her|their))? (?:ssn|social(?: security)?)",
            r"[úu]ltimos (?:cuatro|4)(?: d[íi]gitos)?(?: de)?(?: (?:mi|su|tu))? seguro social",
        ),
        locales=("en-US", "es-US"),
    ),
    Shape("dob", rf"\b{_DATE}\b", near=_BIRTH),
    Shape(
        "mrn",
        _VALUE,
        _has_digits(4, 12),
        told_by(
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
            "expediente(?: cl[íi]nico)?(?: n[úu]m(?:ero|\\.)?| no\\.?)?",
            "pt\\.? ?(?:id|no\\.?|#)",
        ),
    ),
    Shape("mrn", r"\b[A-Z]{1,3}-\d{4,9}\b", _has_digits(4, 12), told_by("pt\\.?", "pat\\.?", "paciente")),
    Shape(
        "insurance_id",
        _VALUE,
        _has_digits(4, 14),
        told_by(
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
        "insurance_id",
        r"\b[A-Z]{1,4}-?\d{6,12}(?:-\d{1,3})?[A-Z]?\b|\b[A-Z]{1,4}-\d{3,6}-\d{3,8}\b"
        r"|\b\d{8,9}[A-Z]\b|\b[A-Z]\d{4} \d{5}\b|\b\d{2,4}-\d{2,4}-\d{2,5}-\d{1,3}\b",
        _has_digits(6, 14),
        told_by(
            "polic(?:y|ies)",
            "subscribers?",
            "insured",
            "insurance",
            "coverage",
            "aetna|anthem|bcbs|blue (?:cross|shield)|cigna|humana|kaiser|molina|tricare|uhc|united ?health(?:care)?",
            "medi-cal|medicaid|medicare",
            "seguro m[ée]dico",
            "aseguradora",
            "p[óo]liza",
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
        told_by("passports?", "pasaporte", "passeport", "reisepass(?:nummer)?", "pass(?:-nr\\.?|nummer)"),
    ),
    Shape(
        "driver_licence",
        r"\b(?:[A-Z]{1,5}[- ]?)?\d(?:[- ]?[A-Z0-9]){4,16}\b",
        _has_digits(4, 17),
        told_by(
            "driv(?:er|ing)(?:['’]?s)? ?lic(?:en[cs]es?)?",
            "d\\.?l\\.?(?: ?#| number| no\\.?)",
            "[a-z]{2} d\\.?l\\.?",
            "licen[cs]e (?:number|no\\.?|#)",
            "f[üu]hrerschein(?:nummer|-?nr\\.?)?",
            "permis de conduire",
            "(?:licencia|permiso|carn[ée]t?) de (?:conducir|manejar)",
        ),
    ),
    Shape("driver_licence", r"\b[A-Z]{1,5}9{0,4}\d{6}[A-Z9]{2}\d[A-Z]{2}\b", _is_dvla, locales=("en-GB",)),
    Shape("uk_nhs", r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b", checksums.uk_nhs, told_by("nhs"), ("en-GB",)),
    Shape(
        "uk_nino",
        r"(?i)\b(?:[abceghj-prstw-z][abceghj-nprstw-z]|qq) ?\d\d ?\d\d ?\d\d ?[a-d]\b",
        lambda text: checksums.plain(text)[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"),
        locales=("en-GB",),
    ),
    Shape("de_tax_id", r"\b\d{2} \d{3} \d{3} \d{3}\b", checksums.de_tax_id, locales=("de-DE",)),
    Shape(
        "de_tax_id",
        r"\b\d{11}\b",
        checksums.de_tax_id,
        told_by(
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
        "in_aadhaar", r"\b[2-9]\d{11}\b", checksums.in_aadhaar, told_by("aadh?aa?r", "uid(?:ai)?", "आधार"), ("en-IN",)
    ),
    Shape("in_pan", r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]\b", locales=("en-IN",)),
    Shape("us_npi", r"\b[12]\d{9}\b", checksums.us_npi, told_by("npi", "provider identifier"), ("en-US", "es-US")),
    Shape(
        "us_routing",
        r"\b\d{9}\b",
        checksums.us_routing,
        told_by("routing", "aba", "rtn"),
        ("en-US", "es-US"),
    ),
    Shape(
        "bank_account",
        r"\b\d(?:[ -]?\d){5,16}\b",
        None,
        told_by(
            "(?:bank |checking |savings )?(?:account|acct\\.?|a/c)",
            "konto(?:nummer|-nr\\.?)?",
            "num[ée]ro de compte",
            "(?:n[úu]mero de )?cuenta(?: bancaria)?",
            "sort code",
        ),
    ),
    *ADDRESSES,
)
LABELS: Final = tuple(dict.fromkeys(shape.label for shape in SHAPES))
CONFIGURABLE: Final = ("mrn", "insurance_id", "bank_account", "driver_licence", "passport")
"""Entities whose form every issuer chooses: a policy may give its own."""
UNFINDABLE: Final = ("person", "location", "organisation", "organization", "nationality", "age", "occupation")
"""What only a model can tell from other words."""
