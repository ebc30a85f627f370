"""Forms that allow what they name and nothing else."""

from __future__ import annotations

from policies.schema_forms import TEXT, keys, listed, matches, one_or_more
from tests.policies.json_schema import Schema


def test_a_mapping_has_these_keys_and_no_others() -> None:
    form = Schema(keys({"a": TEXT, "b": matches("[0-9]+")}, ["a"]))
    assert [form.accepts(value) for value in ({"a": "x"}, {"a": "x", "b": "1"}, {"b": "1"}, {"a": "x", "c": "y"})] == [
        True, True, False, False,
    ]  # fmt: skip


def test_one_or_more_is_one_without_brackets_or_some_different_ones() -> None:
    form = Schema(one_or_more(TEXT))
    assert [form.accepts(value) for value in ("x", ["x"], ["x", "y"], [], ["x", "x"])] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert Schema(listed(TEXT)).accepts([])
