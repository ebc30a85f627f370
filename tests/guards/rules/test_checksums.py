"""Check digits hold for numbers whose issuers show them as examples, and as python-stdnum has it for all others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import stdnum.de.idnr
import stdnum.es.dni
import stdnum.es.nie
import stdnum.fr.nir
import stdnum.gb.nhs
import stdnum.iban
import stdnum.in_.aadhaar
import stdnum.luhn
import stdnum.us.rtn
import stdnum.us.ssn
import stdnum.verhoeff
from hypothesis import given
from hypothesis import strategies as st

from guards.rules import checksums
from guards.rules.checksums import CHECKS

LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
EXAMPLES = {
    "card": "4111 1111-1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "ssn": "123-45-6789",
    "us_npi": "1234567893",
    "us_routing": "011000015",
    "uk_nhs": "943 476 5919",
    "de_tax_id": "86 095 742 719",
    "es_nif": "12345678Z",
    "fr_nir": "2 95 10 99 126 111 93",
    "in_aadhaar": "2341 2341 2346",
    "luhn": "79927398713",
    "verhoeff": "2363",
}


@pytest.mark.parametrize(("name", "number"), EXAMPLES.items())
def test_published_examples_hold_and_no_longer_with_one_digit_changed(name: str, number: str) -> None:
    assert CHECKS[name](number)
    if name == "ssn":  # it has no check digit
        return
    at = max(at for at, char in enumerate(number) if char.isdecimal())
    assert not CHECKS[name](number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :])


def test_every_check_has_an_example() -> None:
    assert EXAMPLES.keys() == CHECKS.keys()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@given(text=st.one_of(st.text(max_size=40), st.text("0123456789 -", max_size=40)))
def test_any_text_gets_an_answer(check: Callable[[str], bool], text: str) -> None:
    assert check(text) in (True, False)


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


@pytest.mark.parametrize(
    ("ours", "theirs", "numbers"),
    [
        (checksums.luhn, stdnum.luhn.is_valid, digits(16)),
        (checksums.verhoeff, stdnum.verhoeff.is_valid, digits(12)),
        (checksums.ssn, stdnum.us.ssn.is_valid, digits(9)),
        (checksums.us_routing, stdnum.us.rtn.is_valid, digits(9)),
        (checksums.uk_nhs, stdnum.gb.nhs.is_valid, digits(10)),
        (checksums.de_tax_id, stdnum.de.idnr.is_valid, digits(11)),
        (checksums.es_nif, stdnum.es.dni.is_valid, st.builds(str.__add__, digits(8), st.sampled_from(LETTERS))),
        (
            checksums.es_nif,
            stdnum.es.nie.is_valid,
            st.builds("{}{}{}".format, st.sampled_from("XYZ"), digits(7), st.sampled_from(LETTERS)),
        ),
        (checksums.fr_nir, stdnum.fr.nir.is_valid, st.builds(str.__add__, st.sampled_from("12"), digits(14))),
        (checksums.in_aadhaar, stdnum.in_.aadhaar.is_valid, digits(12)),
    ],
    ids=["luhn", "verhoeff", "ssn", "routing", "nhs", "idnr", "dni", "nie", "nir", "aadhaar"],
)
def test_another_implementation_agrees(
    ours: Callable[[str], bool], theirs: Callable[[str], bool], numbers: st.SearchStrategy[str]
) -> None:
    @given(numbers)
    def agree(number: str) -> None:
        assert ours(number) == theirs(number)

    agree()


@given(st.sampled_from(["DE", "GB", "FR", "NO", "MT"]), st.text("0123456789", min_size=15, max_size=15))
def test_an_iban_with_computed_check_digits_holds_where_stdnum_says_so(country: str, body: str) -> None:
    wanted = checksums.iban_length(country) - 4
    account = (body * 3)[:wanted]
    check = 98 - int("".join(str(int(char, 36)) for char in account + country + "00")) % 97
    number = f"{country}{check:02}{account}"
    assert checksums.iban(number)
    if stdnum.iban.is_valid(number, check_country=False):
        assert checksums.iban(number.lower())
    assert not checksums.iban(number + "0")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("4111 1111 1111 1111 22", "4111 1111 1111 1111"),
        ("12 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("4111 1111 1111 1112", None),
        ("1 " * 40, None),
        ("4" * 80, None),
    ],
)
def test_a_number_beside_the_number_does_not_hide_it(text: str, found: str | None) -> None:
    at = checksums.held(checksums.card, text)
    assert (at and text[slice(*at)]) == found
