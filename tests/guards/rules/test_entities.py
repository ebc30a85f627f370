"""Personal identifiers are found with exact spans; what only looks like one, and names, are not. All are made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.errors import GuardSetupError
from guards.rules.base import MAX_SPANS, matches
from guards.rules.entities import EntitiesGuard
from guards.verdict import Part, Scope


def found(text: str, *find: str, **options: object) -> list[tuple[str, str]]:
    guard = EntitiesGuard(find, **options) if find else EntitiesGuard(**options)  # type: ignore[arg-type]
    return [(span.label, text[span.start : span.end]) for span in guard.spans(text)]


@pytest.mark.parametrize(
    ("label", "text", "value"),
    [
        ("email", "mail j.o'doe+x@mail.example.co.uk.", "j.o'doe+x@mail.example.co.uk"),
        ("email", "Schreib an post@müller.de!", "post@müller.de"),
        ("url", "see (https://example.com/a?b=c).", "https://example.com/a?b=c"),
        ("url", "www.example.org/x", "www.example.org/x"),
        ("ip", "from 192.168.1.10,", "192.168.1.10"),
        ("ip", "at [2001:db8::1]", "2001:db8::1"),
        ("credit_card", "card 4111 1111 1111 1111 declined", "4111 1111 1111 1111"),
        ("credit_card", "378282246310005", "378282246310005"),
        ("credit_card", "it is 4 0 1 2 8 8 8 8 8 8 8 8 1 8 8 1", "4 0 1 2 8 8 8 8 8 8 8 8 1 8 8 1"),
        ("iban", "to GB82 WEST 1234 5698 7654 32 and on", "GB82 WEST 1234 5698 7654 32"),
        ("iban", "de89370400440532013000", "de89370400440532013000"),
        ("phone", "ring +44 20 7946 0958 now", "+44 20 7946 0958"),
        ("phone", "(415) 555-2671", "(415) 555-2671"),
        ("phone", "Tel. 030 1234567", "030 1234567"),
        ("phone", "call me at 555-0199", "555-0199"),
        ("ssn", "is 123-45-6789.", "123-45-6789"),
        ("ssn", "Social Security no 123456789", "123456789"),
        ("dob", "DOB: 03/12/1985", "03/12/1985"),
        ("dob", "she was born on March 12, 1985", "March 12, 1985"),
        ("dob", "nacida el 12 de marzo de 1985", "12 de marzo de 1985"),
        ("dob", "geboren am 12.03.1985", "12.03.1985"),
        ("dob", "née le 12 mars 1985", "12 mars 1985"),
        ("mrn", "MRN: 00421987", "00421987"),
        ("mrn", "medical record number is A-0042198", "A-0042198"),
        ("insurance_id", "Member ID XQH123456789", "XQH123456789"),
        ("insurance_id", "1EG4-TE5-MK73", "1EG4-TE5-MK73"),
        ("passport", "Passport No. 925665416", "925665416"),
        ("driver_licence", "driver's license D1234567", "D1234567"),
        ("driver_licence", "MORGA753116SM9IJ", "MORGA753116SM9IJ"),
        ("uk_nhs", "NHS number 943 476 5919", "943 476 5919"),
        ("uk_nino", "AB 12 34 56 C", "AB 12 34 56 C"),
        ("de_tax_id", "Steuer-ID: 86095742719", "86095742719"),
        ("es_nif", "DNI 12345678Z", "12345678Z"),
        ("fr_nir", "2 95 10 99 126 111 93", "2 95 10 99 126 111 93"),
        ("in_aadhaar", "2341 2341 2346", "2341 2341 2346"),
        ("in_pan", "PAN ABCPE1234F", "ABCPE1234F"),
        ("us_npi", "NPI 1234567893", "1234567893"),
        ("us_routing", "routing number 011000015", "011000015"),
        ("bank_account", "account number: 12345678", "12345678"),
        ("address", "at 742 Evergreen Terrace, Springfield, IL 62704", "742 Evergreen Terrace, Springfield, IL 62704"),
        ("address", "10 Downing Street, London SW1A 2AA", "10 Downing Street, London SW1A 2AA"),
        ("address", "Hauptstraße 5, 10115 Berlin", "Hauptstraße 5, 10115 Berlin"),
        ("address", "Calle Mayor 12, 28013 Madrid", "Calle Mayor 12, 28013 Madrid"),
        ("address", "12 rue de la Paix, 75002 Paris", "12 rue de la Paix, 75002 Paris"),
    ],
)
def test_an_entity_is_found_whole_and_without_the_words_around_it(label: str, text: str, value: str) -> None:
    assert (label, value) in found(f"😀 {text}")
    assert found(f"😀 {text}", label) == [(label, value)]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("credit_card", "4111 1111 1111 1112"),
        ("credit_card", "order 0000000000000000"),
        ("credit_card", "72 20 74 65 61 6d 20 77 6f 6e 20 74 68 72 65 65 20 74 6f 20 6f"),
        ("iban", "GB82 WEST 1234 5698 7654 33"),
        ("ssn", "000-45-6789 or 666-45-6789 or 900-45-6789"),
        ("ssn", "part number 123456789"),
        ("ip", "version 1.2.3 of 999.1.1.1"),
        ("ip", "std::cout << a::b << d::e"),
        ("address", "String 1 and String 2"),
        ("phone", "in 2024 there were 1234567 of 20240506"),
        ("dob", "the meeting is on 03/12/2025"),
        ("mrn", "the invoice 00421987"),
        ("mrn", "MRN seen on 2024-05-06"),
        ("uk_nhs", "call 943 476 5919"),
        ("es_nif", "12345678A"),
        ("in_aadhaar", "2341 2341 2347"),
        ("address", "in 1990 the Street was empty"),
        ("email", "a @ b, user@localhost, @handle"),
        ("bank_account", "on account of 12 people"),
    ],
)
def test_what_only_looks_like_one_is_left_alone(label: str, text: str) -> None:
    assert found(text, label) == []


def test_a_number_with_check_digits_is_no_guess_of_another_kind() -> None:
    assert found("account number: 4111 1111 1111 1111, call") == [("credit_card", "4111 1111 1111 1111")]


def test_an_identifier_inside_another_kind_of_entity_still_counts() -> None:
    text = "https://example.com/?to=jane@example.com"
    assert [label for label, _ in found(text, "url", "email")] == ["url", "email"]


def test_digits_in_disguise_are_digits_and_the_span_is_raw() -> None:
    assert found("SSN １２３-45-6\u200b789", "ssn") == [("ssn", "１２３-45-6\u200b789")]


@pytest.mark.parametrize("name", ["person", "location", "organisation"])
def test_what_takes_a_model_is_refused_and_never_half_found(name: str) -> None:
    with pytest.raises(GuardSetupError, match=f"`{name}` has no form that a pattern could know; it takes a model"):
        EntitiesGuard([name, "email"])


@pytest.mark.parametrize(
    ("options", "option", "problem"),
    [
        ({"find": []}, "find", "nothing to find"),
        ({"find": ["mail"]}, "find", "`mail` is not one of"),
        ({"find": ["uk_nhs"], "locales": ["en-US"]}, "find", "`uk_nhs` is written in en-GB only"),
        ({"locales": ["xx"]}, "locales", "`xx` is not one of"),
        ({"patterns": {"email": "x"}}, "patterns", "`email` is not one of"),
        ({"find": ["email"], "patterns": {"mrn": "x"}}, "patterns", "`mrn` is not in `find`"),
        ({"patterns": {"mrn": "("}}, "patterns", "not a pattern that RE2 accepts"),
        ({"patterns": {"mrn": "a*"}}, "patterns", "matches empty text"),
        ({"patterns": {"mrn": "a+"}}, "patterns", "a match may be of any length"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options: dict[str, object], option: str, problem: str) -> None:
    with pytest.raises(GuardSetupError, match=problem) as caught:
        EntitiesGuard(**options)  # type: ignore[arg-type]
    assert caught.value.option == option


def test_a_locale_that_is_left_out_is_not_looked_for() -> None:
    assert found("123-45-6789 and Hauptstraße 5", locales=("de-DE",)) == [("address", "Hauptstraße 5")]


def test_an_own_form_stands_for_the_shipped_one_and_needs_its_word_as_well() -> None:
    own = {"mrn": r"\bZ\d{4}\b"}
    assert found("MRN Z1234", "mrn", patterns=own) == [("mrn", "Z1234")]
    assert found("MRN 00421987", "mrn", patterns=own) == []
    assert found("order Z1234", "mrn", patterns=own) == []


def test_options_have_one_spelling_and_what_a_stream_holds_back_is_known() -> None:
    guard = EntitiesGuard(["ssn", "email", "ssn"], ["en-US"])
    assert guard.settings == {"find": ("email", "ssn"), "locales": ("en-US",)}
    assert 11 <= guard.known_after < 60
    assert EntitiesGuard().known_after < 160


HOSTILE = ["1 ", "MRN 1", "1-", "a@b.", "a.", "((", "GB82 ", "1:", "12 Ab ", "Calle A ", "call 5", "http://", "４"]


def candidates(guard: EntitiesGuard, text: str) -> int:
    """Matches and words that are looked at: what the guard does beyond one pass of RE2 for each shape."""
    patterns = [pattern for reader in guard._readers for pattern in (reader._pattern, reader._near) if pattern]
    return sum(1 for pattern in patterns for _ in matches(pattern, text))


@pytest.mark.parametrize("unit", HOSTILE)
def test_twice_a_hostile_text_has_twice_the_candidates_and_is_read_whole(unit: str) -> None:
    guard = EntitiesGuard()
    few, many = (candidates(guard, unit * (length // len(unit))) for length in (50_000, 100_000))
    assert many <= 2.01 * few + 64
    assert len(guard.judge_now([Part(Scope.USER, "/messages/0/content", "user", unit * 20_000)])[0].spans) <= MAX_SPANS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rosa at example dot com", ["rosa at example dot com"]),
        ("rosa dot m at mail dot example dot co dot uk ok", ["rosa dot m at mail dot example dot co dot uk"]),
        ("jsmith AT clinic DOT org (no spam)", ["jsmith AT clinic DOT org"]),
        ("rosa[at]example[dot]org", ["rosa[at]example[dot]org"]),
        ("tom (at) example (dot) org", ["tom (at) example (dot) org"]),
        ("mail rosa @ example.com", ["rosa @ example.com"]),
        ("look at the dot com boom", []),
        ("at home dot com", []),
        ("lunch @ St.James", []),
    ],
)
def test_addresses_that_are_spelled_out(text: str, found: list[str]) -> None:
    guard = EntitiesGuard(["email"])
    assert [text[span.start : span.end] for span in guard.spans(text)] == found


@given(st.text(alphabet="at dot.com@[]()ab1 -'’", max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    list(EntitiesGuard().spans(text))


@pytest.mark.parametrize(
    ("label", "value", "text"),
    [
        ("phone", "+1 (212) 555-0187 ext. 44", "line +1 (212) 555-0187 ext. 44, mornings"),
        ("phone", "305.555.0144 x207", "305.555.0144 x207 is my desk"),
        ("dob", "14MAR1985", "DOB: 14MAR1985"),
        ("dob", "Mar 14 '85", "birthday: Mar 14 '85"),
        ("dob", "3-14-85", "dateOfBirth=3-14-85"),
        ("dob", "4 luglio 1976", "nata il 4 luglio 1976 a Roma"),
        ("ssn", "5462", "the last 4 of his SSN are 5462"),
        ("mrn", "482913", "expediente 482913 del paciente"),
        ("mrn", "P-33871", "see pt. P-33871 in room 2"),
        ("insurance_id", "H12345678-01", "my Humana card says H12345678-01"),
        ("insurance_id", "POL-7781203", "policy POL-7781203 lapsed"),
        ("insurance_id", "884-22-1097-0", "número de póliza 884-22-1097-0"),
        ("driver_licence", "Y1234567", "mi licencia de manejar es Y1234567"),
        ("uk_nino", "QQ123456C", "NI QQ123456C on the form"),
    ],
)
def test_forms_that_hand_written_texts_showed(label: str, value: str, text: str) -> None:
    found = [(span.label, text[span.start : span.end]) for span in EntitiesGuard().spans(text)]
    assert (label, value) in found
