"""Addresses as people write them, each found whole, and streets in prose that are none."""

from __future__ import annotations

import pytest

from guards.rules.entities import EntitiesGuard

GUARD = EntitiesGuard(["address"])


@pytest.mark.parametrize(
    ("before", "address", "after"),
    [
        ("ship it to ", "2200 W. Elm St., Apt. 4B", " please"),
        ("Home: ", "1600 Pennsylvania Ave NW, Washington, DC 20500", ""),
        ("my place is ", "4 maple court", ", ring twice"),
        ("mi casa es ", "1423 Calle del Sol, Los Angeles, CA 90012", ""),
        ("checks to ", "PO Box 4471, Reno NV 89501", "."),
        ("out at ", "RR 2 Box 118", " past the silo"),
        ("the clinic on ", "8900 FM 1960", " closes"),
        ("en la ", "Calle Mayor 15, 2º B", ", desde mayo"),
        ("vivo en ", "Plaza de España 5, 3º dcha", ""),
        ("we're at ", "8 Cwrt y Coed, Cardiff CF10 1AB", "."),
        ("an ", "Hauptstr. 5a, 80331 München", ""),
        ("au ", "12 bis rue de la Paix, 75002 Paris", ""),
    ],
)
def test_an_address_is_found_whole(before: str, address: str, after: str) -> None:
    text = before + address + after
    assert address in [text[span.start : span.end] for span in GUARD.spans(text)]


@pytest.mark.parametrize(
    "text",
    [
        "4 maple court cards were played",
        "the court ruled 5 to 4 on the way home",
        "he scored 12 points in place of 8",
        "100 CR 2",
        "In 2020 we drove the long way",
    ],
)
def test_prose_is_no_address(text: str) -> None:
    assert list(GUARD.spans(text)) == []
