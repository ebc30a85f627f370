"""Whatever a file states, what comes out is of its kind and within bounds, or the key is named."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ModelRefused
from engine.stated import MOST, Stated, wrong

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def refused(raw: Any, read: str, *bounds: Any, **options: Any) -> str:
    with pytest.raises(ModelRefused) as caught:
        getattr(Stated({"size": raw}, "part"), read)("size", *bounds, **options)
    assert caught.value.code == "config_invalid"
    return caught.value.problem


@given(ANYTHING)
def test_what_comes_out_is_of_its_kind_or_the_key_is_named(value: Any) -> None:
    stated = Stated({"size": value})
    readers = {
        "whole": lambda: 1 <= stated.whole("size") <= MOST,
        "number": lambda: math.isfinite(stated.number("size")),
        "wholes": lambda: all(0 <= one <= 9 for one in stated.wholes("size", 0, 9) or ()),
        "flag": lambda: stated.flag("size", True) in (True, False),
        "part": lambda: stated.part("size").raw is not None,
    }
    for read in readers.values():
        try:
            assert read()
        except ModelRefused as exc:
            problem = exc.problem
        else:
            continue
        assert "`size`" in problem
        assert len(problem) < 150


def test_messages_name_the_key_where_it_stands_and_do_not_repeat_everything() -> None:
    assert refused("many", "whole") == "`part.size` is many, expected a whole number 1 to 2147483647"
    assert refused(None, "whole") == "`part.size` is None, expected a whole number 1 to 2147483647"
    assert refused(math.nan, "number") == "`part.size` is nan, expected a finite number"
    assert refused(0, "number", 1.0, 0.0, is_above=True) == "`part.size` is 0, expected a finite number above 0"
    assert refused([1, 7], "wholes", 0, 5) == "`part.size` is 7, expected a whole number 0 to 5"
    assert len(str(wrong("key", "x" * 999, "less"))) < 80
    with pytest.raises(ModelRefused, match="`text_config` is 5, expected a JSON object"):
        Stated(5, "text_config")


def test_what_is_not_stated_is_the_default_and_null_can_be_told_apart() -> None:
    for stated in (Stated({}), Stated({"size": None})):
        assert (stated.whole("size", 7), stated.number("size", 0.5), stated.wholes("size", 0, 1)) == (7, 0.5, None)
        assert stated.part("size").raw == {}
    assert (Stated({}).is_null("size"), Stated({"size": None}).is_null("size")) == (False, True)
    assert (Stated({}).flag("size", True), Stated({"size": None}).flag("size", True)) == (True, False)


def test_numbers_as_people_write_them() -> None:
    stated = Stated(json.loads('{"a": 1e4, "b": 4, "c": 1.5}'))
    assert (stated.whole("a"), stated.number("b"), stated.flag("b", False)) == (10_000, 4.0, True)
    with pytest.raises(ModelRefused):
        stated.whole("c")
