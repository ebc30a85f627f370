"""A scores file may come from anybody: every value is of its kind or named in a ValueError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.evaluate.fields import Fields


def test_values_of_the_right_kind_come_through() -> None:
    fields = Fields({"t": "é", "n": 3, "p": 1_000_000, "f": 1, "l": ["a"], "o": {"x": 1, "y": 2}, "os": [{"n": 1}]})
    assert (fields.text("t"), fields.count("n"), fields.ppm("p"), fields.flag("f")) == ("é", 3, 1_000_000, True)
    assert fields.texts("l") == ("a",)
    assert dict(fields.object("o").each(Fields.count)) == {"x": 1, "y": 2}
    assert [one.count("n") for one in fields.objects("os")] == [1]
    assert fields.has("t")
    assert not fields.has("none")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, Fields.text),
        ("\x1b[31m", Fields.text),
        (True, Fields.count),
        (-1, Fields.count),
        (1.0, Fields.count),
        (1_000_001, Fields.ppm),
        ("yes", Fields.flag),
        ([1], Fields.texts),
        (["a\nb"], Fields.texts),
        ({}, Fields.texts),
        ([], Fields.object),
        ([1], Fields.objects),
        ({}, Fields.objects),
    ],
)
def test_a_value_of_another_kind_is_named(value: Any, read: Callable[[Fields, str], object]) -> None:
    with pytest.raises(ValueError, match="`x` is "):
        read(Fields({"x": value}), "x")


def test_what_is_missing_is_called_so() -> None:
    with pytest.raises(ValueError, match="`x` is missing, expected a whole number"):
        Fields({}).count("x")


def test_names_have_to_be_printable_too() -> None:
    with pytest.raises(ValueError, match="not printable"):
        Fields({"\x07": 1}).each(Fields.count)
