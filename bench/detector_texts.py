"""Made-up identifiers and the ways people write them, for bench/detectors.py. Seeded, so every run measures the same.

Values are drawn, not listed, and carry real check digits. The ways of writing were written down before the patterns
were tried on them and include some that no pattern here finds: a measured recall of 1.0 everywhere would say more about
the list than about the guard. `{}` is where the value stands. NOTHING holds what looks like an identifier and is none.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guards.rules import checksums

SEED = 20_261_121
EACH = 100
"""Texts for each kind."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A text, and the one identifier in it; an empty label: none."""

    text: str
    label: str
    value: str


Draw = Callable[[random.Random], str]


def _digits(rng: random.Random, count: int, first: str = "0123456789") -> str:
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def _checked(check: Callable[[str], bool], draw: Draw) -> Draw:
    def made(rng: random.Random) -> str:
        while True:
            if check(value := draw(rng)):
                return value

    return made


def _shaped(*shapes: str) -> Draw:
    """`9` a digit, `A` a capital, everything else itself."""

    def made(rng: random.Random) -> str:
        letters = {"9": "0123456789", "8": "23456789", "A": "ABCDEFGHJKLMNPRSTUVWXYZ"}
        return "".join(rng.choice(letters.get(char, char)) for char in rng.choice(shapes))

    return made


def _grouped(draw: Draw, *shapes: tuple[int, ...], signs: str = " -") -> Draw:
    def made(rng: random.Random) -> str:
        value, shape = draw(rng), rng.choice(shapes)
        at, pieces = 0, []
        for size in shape:
            pieces.append(value[at : at + size])
            at += size
        return rng.choice(signs).join(piece for piece in (*pieces, value[at:]) if piece)

    return made


def _iban(rng: random.Random) -> str:
    country, size = rng.choice([("DE", 18), ("GB", 18), ("FR", 23), ("ES", 20), ("NL", 14)])
    body = _digits(rng, size)
    if country in ("GB", "NL"):
        body = "ABNA" + body[4:]
    check = 98 - int("".join(str(int(char, 36)) for char in body + country + "00")) % 97
    number = f"{country}{check:02}{body}"
    return number if rng.random() < 0.4 else " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def _email(rng: random.Random) -> str:
    name = rng.choice(["jane.doe", "j_doe77", "info", "maria-luisa", "o'brien", "x+tag", "müller", "jane%doe"])
    return (
        f"{name}@{rng.choice(['example.com', 'mail.example.co.uk', 'bücher.example', 'sub.a-b.example.org', 'x.io'])}"
    )


def _date(rng: random.Random) -> str:
    year, month, day = rng.randint(1930, 2019), rng.randint(1, 12), rng.randint(1, 28)
    name = calendar.month_name[month]
    return rng.choice(
        [
            f"{month}/{day}/{year}",
            f"{day:02}.{month:02}.{year}",
            f"{year}-{month:02}-{day:02}",
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day}-{name[:3]}-{year}",
            f"{name[:3]} {day}th, {year}",
            f"{month}/{day}/{year % 100:02}",
            f"{day}{['th', 'st'][day == 1]} of {name} {year}",
            f"{year}{month:02}{day:02}",
        ]
    )


_US = ["742 Evergreen Terrace", "1600 N. Main St.", "55 5th Avenue, Apt 4B", "12 Old Mill Road", "3100 SW 62nd Ave"]
_US_CITY = ["", ", Springfield, IL 62704", ", Miami, FL 33155-1234", ", New York, NY", " Portland OR 97201"]
_UK = ["10 Downing Street", "221b Baker Street", "7 The Close", "Flat 3, 14 Elm Grove", "Rose Cottage, Mill Lane"]
_UK_CITY = ["", ", London SW1A 2AA", ", Leeds, LS1 4AP", ", Stow-on-the-Wold"]
_EUROPE = [
    "Hauptstraße 5, 10115 Berlin",
    "Am Alten Markt 12, 50667 Köln",
    "Lindenallee 3a",
    "12 rue de la Paix, 75002 Paris",
    "5 bis avenue Victor Hugo",
    "Calle Mayor 12, 28013 Madrid",
    "Avda. de la Constitución, 7",
    "C/ Gran Vía 31, 2º B",
]

KINDS: dict[str, tuple[Draw, tuple[str, ...]]] = {
    "email": (_email, ("Write to {}.", "{} is my address", "<{}>", "contact: {}, thanks", "E-Mail:{}")),
    "credit_card": (
        _grouped(_checked(checksums.card, _shaped("4" + "9" * 15, "5" + "9" * 15)), (4, 4, 4, 4), (16,)),
        ("My card is {}.", "{} exp 12/27", "charge {} please", "cc={}", "Visa {}, CVV 123"),
    ),
    "iban": (_iban, ("IBAN {}", "Please pay to {} today", "mein Konto: {}", "{}.", "iban:{},")),
    "ssn": (
        _grouped(_checked(checksums.ssn, _shaped("999999999")), (3, 2, 4), signs="- "),
        ("My SSN is {}.", "social security number {}", "{} is on the form", "SSN#{}", "ssn: {}"),
    ),
    "phone": (
        _shaped(
            "(415) 899-9999",
            "415-899-9999",
            "415.899.9999",
            "+1 415 899 9999",
            "+44 20 7946 0999",
            "07700 900999",
            "020 7946 0999",
            "+49 30 1234567",
            "030/1234567",
            "06 12 34 56 99",
            "+33 6 12 34 56 99",
            "+91 98765 43299",
            "4158999999",
            "899-9999",
            "(030) 123 45 67",
        ),
        ("Call me at {}.", "{} is my number", "Tel: {}", "phone {} or mail", "My mobile is {}", "Reach us: {}"),
    ),
    "dob": (
        _date,
        (
            "DOB: {}",
            "She was born on {}.",
            "date of birth {}",
            "patient (born {}) came",
            "Birthday: {}",
            "b. {}",
            "geboren am {}",
            "nacido el {}",
            "Her birthday is on {}",
        ),
    ),
    "mrn": (
        _shaped("99999999", "999999", "A-9999999", "MR9999999", "99-99-99"),
        (
            "MRN: {}",
            "MRN {}",
            "medical record number {}",
            "patient id {}",
            "chart no. {}",
            "Medical record {} was read",
        ),
    ),
    "insurance_id": (
        _shaped("AAA999999999", "W999999999", "9999999999", "1AA8-AA8-AA88", "AAA99A99999"),
        ("Member ID {}", "policy number: {}", "insurance id {}", "subscriber no. {}", "her health plan number is {}"),
    ),
    "passport": (
        _shaped("999999999", "A99999999", "C9XK9ZR99", "AAA999999"),
        ("Passport No. {}", "passport number {}", "Reisepass {}", "pasaporte: {}", "My passport is {}"),
    ),
    "driver_licence": (
        _shaped("A9999999", "A999-9999-9999", "999999999", "AAAAA899999AA8AA"),
        ("driver's license {}", "DL# {}", "driving licence number {}", "Führerschein {}", "license no. {}"),
    ),
    "ip": (
        _shaped("192.168.1.89", "10.0.0.8", "203.0.113.88", "2001:db8::8", "fe80::1ff:fe23:4567:890a"),
        ("from {}", "host {} down", "{}:443", "ping {}.", "[{}]"),
    ),
    "url": (
        _shaped("https://example.com/p/999", "www.example.org/a?b=99", "http://x.io", "https://a.example:8443/#x"),
        ("see {}.", "({})", "{} works", "link: {}", "[docs]({})"),
    ),
    "uk_nhs": (
        _grouped(_checked(checksums.uk_nhs, _shaped("9999999999")), (3, 3, 4), (10,)),
        ("NHS number {}", "NHS no {}", "nhs: {}", "{} (NHS)", "her NHS Number is {}"),
    ),
    "uk_nino": (_shaped("JG 99 99 99 C", "CE999999D", "LM 999999 B"), ("NI number {}", "{}", "NINO: {}.", "my {} is")),
    "de_tax_id": (
        _grouped(_checked(checksums.de_tax_id, _shaped("8" + "9" * 10)), (2, 3, 3, 3), (11,), signs=" "),
        ("Steuer-ID {}", "IdNr. {}", "Meine Steueridentifikationsnummer ist {}", "tax id {}"),
    ),
    "es_nif": (
        _checked(checksums.es_nif, _shaped("99999999A", "X9999999A", "Y9999999A")),
        ("DNI {}", "NIF: {}", "con NIE {}.", "{} es mi DNI"),
    ),
    "fr_nir": (
        _grouped(
            _checked(checksums.fr_nir, _shaped("1990675999999" + "99", "2850133999999" + "99")),
            (1, 2, 2, 2, 3, 3, 2),
            (15,),
            signs=" ",
        ),
        ("n° de sécurité sociale {}", "NIR {}", "{}", "sécu: {}"),
    ),
    "in_aadhaar": (
        _grouped(_checked(checksums.in_aadhaar, _shaped("8" + "9" * 11)), (4, 4, 4), (12,)),
        ("Aadhaar {}", "aadhar no. {}", "UID {}", "my Aadhaar number is {}"),
    ),
    "us_npi": (_checked(checksums.us_npi, _shaped("1999999999")), ("NPI {}", "NPI: {}", "provider identifier {}")),
    "us_routing": (_checked(checksums.us_routing, _shaped("999999999")), ("routing number {}", "ABA {}", "RTN: {}")),
    "bank_account": (
        _shaped("99999999", "9999999999", "12-3456-7890123-99"),
        ("account number {}", "acct. {}", "Kontonummer: {}", "my bank account is {}", "cuenta {}"),
    ),
    "address": (
        lambda rng: rng.choice(
            [rng.choice(_US) + rng.choice(_US_CITY), rng.choice(_UK) + rng.choice(_UK_CITY), rng.choice(_EUROPE)]
        ),
        ("I live at {}.", "Ship it to {}", "address: {}", "{} is where she lives", "My home is {}, come by"),
    ),
}
"""By entity: how a value is drawn, and sentences that it stands in."""

NOTHING = (
    "order 4111 1111 1111 1112 of 2024-05-06",
    "part no. 123456789",
    "ISBN 978-3-16-148410-0",
    "version 10.4.2 build 8812",
    "the year 1985, page 123-45",
    "call 2 of 3 at 12:30:45",
    "he ran 1234567 steps and 20240506 is a date",
    "a@b",
    "user@localhost",
    "tracking 1Z999AA10123456784",
    "ratio 4:3::2",
    "commit 9f8e7d6c5b4a39281706f5e4d3c2b1a098765432",
    "born leaders met on 12 March",
    "the meeting is on 03/12/2025",
    "the patient had 120/80 and 98 beats",
    "MRN pending",
    "my account of the 1945 war",
    "route 66, 55 miles",
    "5 Street Food stalls",
    "12 Angry Men Court drama",
    "invoice 00421987",
    "SKU GB82-1234",
    "phone in the year 2000",
    "member since 2019",
    "policy of 1998 on plan B",
    "passport control took 45 minutes",
    "a driving license exam in 2023",
    "NHS spent 1234567890 pounds",
    "room 12A",
    "chapter 12345678 verse 9",
    "temperature 36.6 and 192.168 dollars",
    "999.999.999.999",
    "0000 0000 0000 0000",
    "12345678A is no DNI",
    "2341 2341 2347",
    "AB123",
    "the 1990 Park Avenue album",
    "sum 12 345 678 901",
)
"""Texts without any identifier."""


def samples() -> Iterator[Sample]:
    rng = random.Random(SEED)
    for label, (draw, sentences) in KINDS.items():
        for number in range(EACH):
            value = draw(rng)
            yield Sample(sentences[number % len(sentences)].replace("{}", value), label, value)
    for text in NOTHING:
        yield Sample(text, "", "")
