"""Readers: a typed value, or a problem that says what was found and what was expected."""

from __future__ import annotations

from decimal import Decimal

import pytest

from policies import fields
from policies.errors import FileErrors, Problems
from policies.fields import Reader, Section
from policies.yaml_strict import Node, Table, parse


def node_of(text: str) -> Node:
    node = parse(f"x: {text}".encode(), "f", Problems())
    assert isinstance(node, Table)
    return node.entries[0].value


def read(reader: Reader[object], text: str) -> object:
    problems = Problems()
    value = reader(node_of(text), "`x`", problems)
    problems.raise_if_any()
    return value


def refusal(reader: Reader[object], text: str) -> str:
    with pytest.raises(FileErrors) as caught:
        read(reader, text)
    return caught.value.problems[0].problem


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (fields.text, "abc", "abc"),
        (fields.text, "'1'", "1"),
        (fields.boolean, "true", True),
        (fields.integer(0, 9), "0x9", 9),
        (fields.number(0, 1), "1", Decimal(1)),
        (fields.ppm, "0.999999", 999_999),
        (fields.ppm, "1", 1_000_000),
        (fields.ppm, "1e-6", 1),
        (fields.ppm, "0.5000000", 500_000),
        (fields.duration_ms(), "400ms", 400),
        (fields.duration_ms(), "2s", 2_000),
        (fields.duration_ms(), "15m", 900_000),
        (fields.size_bytes(), "2MiB", 2_097_152),
        (fields.size_bytes(), "512B", 512),
        (fields.list_of(fields.text), "[]", ()),
        (fields.list_of(fields.text), "[b, a]", ("b", "a")),
        (fields.list_of(fields.text, may_repeat=True), "[a, a]", ("a", "a")),
        (fields.one_or_more(fields.text), "a", ("a",)),
        (fields.one_or_more(fields.text), "[a, b]", ("a", "b")),
        (fields.choice(("a", "b")), "b", "b"),
    ],
)
def test_values_are_read_exactly(reader: Reader[object], text: str, value: object) -> None:
    assert read(reader, text) == value


@pytest.mark.parametrize(
    ("reader", "text", "problem"),
    [
        (fields.text, "1", "`x` is `1`, expected text"),
        (fields.text, "''", "`x` is empty, expected text"),
        (fields.text, "", "`x` is empty, expected text"),
        (fields.boolean, "yes", "`x` is `yes`, expected `true` or `false`"),
        (fields.boolean, "1", "`x` is `1`, expected `true` or `false`"),
        (fields.integer(0, 9), "10", "`x` is `10`, expected a whole number 0 to 9"),
        (fields.integer(0, 9), "1.0", "`x` is `1.0`, expected a whole number 0 to 9"),
        (fields.integer(0, 9), "true", "`x` is `true`, expected a whole number 0 to 9"),
        (fields.number(0, 1), "1.7", "`x` is `1.7`, expected a number 0 to 1"),
        (fields.ppm, "0.1234567", "`x` is `0.1234567`, expected at most 6 decimals"),
        (fields.ppm, "'0.5'", "`x` is `0.5`, expected a number 0 to 1"),
        (fields.ppm, "-0.1", "`x` is `-0.1`, expected a number 0 to 1"),
        (fields.duration_ms(1, 10), "2s", "`x` is `2s`, expected a duration such as `400ms` or `2s`, 1ms to 10ms"),
        (fields.duration_ms(), "2", "`x` is `2`, expected a duration such as `400ms` or `2s`, 1ms to 86400000ms"),
        (fields.duration_ms(), "1.5s", "`x` is `1.5s`, expected a duration such as"),
        (fields.size_bytes(1, 9), "2MB", "`x` is `2MB`, expected a size such as `64KiB` or `2MiB`, 1B to 9B"),
        (fields.list_of(fields.text), "a", "`x` is `a`, expected a list"),
        (fields.list_of(fields.text, least=1), "[]", "`x` is an empty list, expected at least 1 in it"),
        (fields.list_of(fields.text), "[a, a]", "item of `x` is here twice"),
        (fields.list_of(fields.text), "[a, [b]]", "item of `x` is a list, expected text"),
        (fields.choice(("a",)), "b", "`x` is `b`, expected `a`"),
        (fields.choice(("a",), ("later",)), "later", "`later` is not available in this version of Gatehouse"),
        (fields.table, "[]", "`x` is a list, expected a mapping"),
    ],
)
def test_problem_says_what_was_found_and_what_was_expected(reader: Reader[object], text: str, problem: str) -> None:
    assert refusal(reader, text).startswith(problem)


def test_long_and_unprintable_values_are_not_repeated() -> None:
    assert refusal(fields.integer(0, 9), "a" * 41) == "`x` is a long text, expected a whole number 0 to 9"
    assert "a long text" in refusal(fields.integer(0, 9), '"a\\nb"')


def test_text_that_yaml_reads_as_a_number_gets_the_hint_to_quote_it() -> None:
    problems = Problems()
    fields.text(node_of("2024"), "`x`", problems)
    with pytest.raises(FileErrors, match="put it in quotes"):
        problems.raise_if_any()


def test_fifty_thousand_items_are_read_in_no_time() -> None:
    assert len(read(fields.list_of(fields.text), "[" + ",".join(f"a{n}" for n in range(50_000)) + "]")) == 50_000


def test_section_reports_unknown_keys_once_and_reads_on() -> None:
    problems = Problems()
    node = parse(b"nmae: x\nlater: 1\nsize: 5", "f", problems)
    section = Section.open(node, "thing", problems, ("name", "size"), ("later",))
    assert section is not None
    assert section.get("size", fields.integer(0, 9), 1) == 5
    assert section.require("name", fields.text, "stand-in") == "stand-in"
    assert "size" in section
    assert "name" not in section
    with pytest.raises(FileErrors) as caught:
        problems.raise_if_any()
    assert str(caught.value).split("\n") == [
        "f:1:1: thing has no `name`",
        "f:1:1: unknown key `nmae` in thing (did you mean `name`?)",
        "f:2:1: `later` is not available in this version of Gatehouse",
    ]


def test_node_that_was_reported_is_not_reported_again() -> None:
    problems = Problems()
    node = parse(b"size: &a 5", "f", problems)
    section = Section.open(node, "thing", problems, ("size",))
    assert section is not None
    assert section.get("size", fields.integer(0, 9), 1) == 1
    assert len(problems) == 1


def test_section_of_something_else_is_none() -> None:
    problems = Problems()
    assert Section.open(node_of("[1]"), "thing", problems, ()) is None
    assert len(problems) == 1
