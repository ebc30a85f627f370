"""The strict loader: what a file looks like is what it means, and everything else is refused at its character."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import FileErrors, Place, Problems
from policies.yaml_strict import FAST, MAX_BYTES, Listing, Node, Scalar, Table, parse

PARSERS = pytest.mark.parametrize("loader", [FAST, yaml.SafeLoader], ids=["fast", "pure"])


def refused(data: bytes | str, loader=FAST) -> list[str]:
    problems = Problems()
    parse(data if isinstance(data, bytes) else data.encode(), "f", problems, loader)
    with pytest.raises(FileErrors) as caught:
        problems.raise_if_any()
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


def read(text: str, loader=FAST) -> Node:
    problems = Problems()
    node = parse(text.encode(), "f", problems, loader)
    problems.raise_if_any()
    return node


def value_of(text: str, loader=FAST) -> object:
    node = read(f"key: {text}", loader)
    assert isinstance(node, Table)
    assert isinstance(node.entries[0].value, Scalar)
    return node.entries[0].value.value


@PARSERS
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("1e3", Decimal(1000)),
        ("0.5", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("'012'", "012"),
        ('"true"', "true"),
        ("null", None),
        ("~", None),
        ("", None),
        ("=", "="),
        ("2MiB", "2MiB"),
        ("0.1.2", "0.1.2"),
    ],
)
def test_scalars_follow_yaml_1_2(written: str, meant: object, loader) -> None:
    got = value_of(written, loader)
    assert got == meant
    assert type(got) is type(meant)


@PARSERS
@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("a: 1\nb: 2\na: 3", "3:1", "key `a` is here twice, first in line 1"),
        ("a: &x 1", "1:4", "anchor `&x` is not accepted"),
        ("a: *x", "1:4", "alias `*x` is not accepted"),
        ("<<: {a: 1}", "1:1", "merge key `<<` is not accepted"),
        ("a: !!python/object:os.system 1", "1:4", "tag `tag:yaml.org,2002:python/object:os.system` is not accepted"),
        ("a: !x 1", "1:4", "tag `!x` is not accepted"),
        ("a: ! 1", "1:4", "tag `!` is not accepted"),
        ("1: a", "1:1", "key is `1`, expected text"),
        ("true: a", "1:1", "key is `true`, expected text"),
        ("? [a]\n: 1", "1:3", "key is a list or mapping, expected text"),
        ("a: .inf", "1:4", "number is `.inf`, expected a finite one"),
        ("a: -.INF", "1:4", "number is `-.INF`, expected a finite one"),
        ("a: .nan", "1:4", "number is `.nan`, expected a finite one"),
        ("a: 1e999999999", "1:4", "number is too long to be meant"),
        ("a: " + "9" * 5000, "1:4", "number is too long to be meant"),
        ("a: 1\n---\nb: 2", "2:1", "a second document starts here"),
        ("%YAML 1.1\n---\na: 1", "1:1", "directives (`%YAML`, `%TAG`) are not accepted"),
        ("", "1:1", "file is empty"),
        ("# nothing\n", "2:1", "file is empty"),
        ("a: [1, 2", "", "not YAML: "),
        ("a:\n\tb: 1", "2:1", "not YAML: "),
        ("a: 'x", "", "not YAML: "),
    ],
)
def test_what_could_mislead_a_reviewer_is_refused_where_it_is(text: str, place: str, says: str, loader) -> None:
    problems = refused(text, loader)
    assert len(problems) == 1
    assert problems[0].startswith(f"{place}: {says}" if place else "")
    assert says in problems[0]


def test_bytes_that_are_not_utf_8_are_named_with_their_place() -> None:
    assert refused(b"a: 1\nb: \xff") == ["2:4: byte 0xff is not UTF-8"]
    assert "not UTF-8" in refused("a: 1".encode("utf-16"))[0]


def test_leading_byte_order_mark_is_skipped_and_columns_stay_right() -> None:
    node = read("\ufeffa: 1")
    assert isinstance(node, Table)
    assert node.entries[0].place == Place("f", 1, 1)
    assert refused(b"a: \xef\xbb\xbf1")[0].startswith("1:4: character U+FEFF cannot be seen")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\u202e", "\u200b", "\U000e0061", "\u2028"])
def test_invisible_characters_are_refused_because_no_reviewer_sees_them(character: str) -> None:
    assert refused(f"ok: 1\na: x{character}y") == [
        f"2:5: character U+{ord(character):04X} cannot be seen "
        f'(write it as an escape in double quotes: "\\U{ord(character):08X}")'
    ]


def test_invisible_characters_can_be_written_as_escapes() -> None:
    assert value_of('"hi\\U000E0061"') == "hi\U000e0061"


@PARSERS
@pytest.mark.parametrize("text", ["[" * 10_000, "{" * 10_000, "- " * 10_000, "a: " + "[" * 10_000, "? " * 10_000])
def test_ten_thousand_brackets_are_one_problem_and_take_no_time(text: str, loader) -> None:
    started = time.process_time()
    problems = refused(text, loader)
    assert len(problems) == 1
    assert "nested more than 32 deep" in problems[0] or "not YAML" in problems[0]
    assert time.process_time() - started < 2


def test_thirty_two_levels_are_enough_and_thirty_three_too_many() -> None:
    read("[" * 32 + "]" * 32)
    assert refused("[" * 33 + "]" * 33) == ["1:33: nested more than 32 deep"]


def test_yaml_bomb_is_refused_at_its_first_anchor_and_never_expands() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    problems = refused("\n".join(lines))
    assert problems[0].startswith("1:5: anchor `&a0` is not accepted")
    assert len(problems) <= 101


def test_too_large_a_file_is_refused_unread() -> None:
    assert refused(b"#" * (MAX_BYTES + 1)) == [f"1:1: file is {MAX_BYTES + 1} bytes, expected at most {MAX_BYTES}"]
    read("#" * (MAX_BYTES - 5) + "\na: 1")


def test_a_file_of_nothing_but_problems_reports_the_first_hundred_and_counts_the_rest() -> None:
    problems = Problems()
    parse(b"a: 1\n" * 1000, "f", problems)
    with pytest.raises(FileErrors, match="and 899 more") as caught:
        problems.raise_if_any()
    assert caught.value.count == 999


@PARSERS
def test_half_a_surrogate_pair_is_refused_because_nothing_can_encode_it(loader) -> None:
    assert len(refused('a: "\\ud800"', loader)) == 1


def test_every_node_keeps_its_place() -> None:
    node = read("a:\n  - x\n  - é: {b: 1}\n")
    assert isinstance(node, Table)
    listing = node.entries[0].value
    assert isinstance(listing, Listing)
    assert [item.place for item in listing.items] == [Place("f", 2, 5), Place("f", 3, 5)]
    inner = listing.items[1]
    assert isinstance(inner, Table)
    assert inner.entries[0].value.place == Place("f", 3, 8)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet="ab:-[]{}&*!?|>'\"#%@`,\n\t 01.<~", max_size=60)))
def test_no_bytes_at_all_raise(data: bytes | str) -> None:
    """Whatever comes, it is a node or problems."""
    problems = Problems()
    parse(data if isinstance(data, bytes) else data.encode(), "f", problems)
