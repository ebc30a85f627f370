"""Options of a guard get their problems at their place, all of them, from the guard's own reader."""

from __future__ import annotations

from collections.abc import Mapping

from guards.errors import GuardSetupError
from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.options import plain, read_options
from policies.yaml_strict import parse

KEYS = ("size", "names", "ratio")


def reader(values: Mapping[str, object]) -> dict[str, object]:
    """A guard that wants a size below 10 and a list of names, and says one thing at a time."""
    size = values.get("size", 1)
    if not isinstance(size, int) or size > 9:
        raise GuardSetupError("g", "expected a whole number up to 9", "size")
    if not isinstance(values.get("names", []), list):
        raise GuardSetupError("g", "expected a list", "names")
    if size == 7:
        raise GuardSetupError("g", "nothing works with seven")
    return dict(values)


def read(text: str) -> tuple[dict[str, object] | None, list[str]]:
    problems = Problems()
    section = Section.open(parse(text.encode(), "f", problems), "guard `g`", problems, KEYS)
    assert section is not None
    found = read_options(section, KEYS, reader)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, str(exc).splitlines()
    return found, []


def test_good_options_arrive_as_plain_values() -> None:
    assert read("{size: 3, names: [a, b], ratio: 0.5}") == ({"size": 3, "names": ["a", "b"], "ratio": 0.5}, [])
    assert plain(parse(b"{a: {b: [1, yes, null]}}", "f", Problems())) == {"a": {"b": [1, "yes", None]}}


def test_every_problem_comes_at_once_and_at_its_option() -> None:
    found, problems = read("size: 12\nnames: none\n")
    assert found is None
    assert problems == ["f:1:1: `size`: expected a whole number up to 9", "f:2:1: `names`: expected a list"]


def test_a_problem_without_an_option_is_at_the_section() -> None:
    assert read("{size: 7}") == (None, ["f:1:1: guard `g`: nothing works with seven"])


def test_what_is_already_reported_is_not_reported_twice() -> None:
    found, problems = read("size: 1\nnames: [a, !tag b]\n")
    assert found is None
    assert len(problems) == 1
