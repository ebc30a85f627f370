"""The tables of look-alikes."""

from __future__ import annotations

import unicodedata

from guards.views.confusables import LOOKALIKES, REGIONS, STYLED, TURNED


def test_every_entry_is_a_letter_that_is_not_ascii_and_stands_for_one_that_is() -> None:
    for table in (LOOKALIKES, STYLED, TURNED):
        for char, plain in table.items():
            assert len(char) == len(plain) == 1
            assert not char.isascii()
            assert plain.isascii()
            assert plain.isalpha()


def test_look_alikes_are_of_living_scripts_and_survive_normalisation() -> None:
    scripts = {unicodedata.name(char).split()[0] for char in LOOKALIKES}

    assert scripts == {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "LISU", "COPTIC", "GEORGIAN", "LATIN"}
    assert len(LOOKALIKES) > 150


def test_styled_letters_hold_a_whole_alphabet() -> None:
    assert set("abcdefghijklmnopqrstuvwyz") <= set(STYLED.values())
    assert not set(STYLED) & set(LOOKALIKES)


def test_flags_are_pairs_of_letters() -> None:
    assert 255 < len(REGIONS) < 265
    assert all(len(pair) == 2 and pair.isupper() and pair.isascii() for pair in REGIONS)
