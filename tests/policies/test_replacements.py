"""What stands where something was removed shows what the author asked for, and never all of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.replacements import filled, is_placeholder, shown


@pytest.mark.parametrize(
    ("template", "found", "placed"),
    [
        ("[{type}]", "x", "[pan]"),
        ("[{label}]", "x", "[pan]"),
        ("{first6}******{last4}", "4111 1111 1111 1111", "411111******1111"),
        ("{first6}******{last4}", "4111111111111111", "411111******1111"),
        ("{last4}", "abc-7890", "7890"),
        ("{first6}{last4}", "0123456789", ""),
        ("{first2}", "a", ""),
        ("{last4}", "", ""),
        ("[{type}:{token}]", "x", "[pan:{token}]"),
        ("plain", "x", "plain"),
    ],
)
def test_placeholders(template: str, found: str, placed: str) -> None:
    assert filled(template, "pan", found) == placed


def test_only_placeholders_that_mean_something_are_known() -> None:
    assert all(is_placeholder(name) for name in ("type", "label", "token", "first6", "last4", "last99"))
    assert not any(is_placeholder(name) for name in ("", "first", "first0", "last100", "middle2", "Type"))
    assert (shown("{first6}*{last4}"), shown("[{type}]")) == (10, 0)


@given(st.text(), st.sampled_from(["{first6}******{last4}", "{last4}", "{first1}{type}"]))
def test_what_is_found_never_comes_out_whole_and_never_breaks_json(found: str, template: str) -> None:
    placed = filled(template, "kind", found)
    letters = "".join(char for char in found if char.isalnum())
    assert not letters or letters not in placed.replace("kind", "").replace("******", "")
    assert json.loads(f'"{placed}"') == placed


def test_a_label_or_a_text_that_looks_like_a_placeholder_is_not_filled_in_again() -> None:
    assert filled("{type}{first3}", "{last4}", "{token}abc") == "{last4}tok"
