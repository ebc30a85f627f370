"""A set is read whole or not at all, and no problem repeats a text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.evaluate.errors import EvaluationError, LinesRefused
from gateway.evaluate.rows import LabelledSet, read_set
from guards.verdict import Scope

SECRET = "the text nobody may see"
NO_ROLE = "is not one of user, assistant, tool, system"
NO_NAME = "is not a name of 1 to 64 printable characters"
NO_LIST = "`categories` is not a list of short printable names"


def written(tmp_path: Path, *lines: Any) -> Path:
    file = tmp_path / "set.jsonl"
    file.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return file


def read(tmp_path: Path, *lines: Any) -> LabelledSet:
    return read_set(written(tmp_path, *lines))


def problems(tmp_path: Path, *lines: Any) -> tuple[tuple[int, str], ...]:
    with pytest.raises(LinesRefused) as caught:
        read(tmp_path, *lines)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def test_a_row_keeps_all_that_the_set_says(tmp_path: Path) -> None:
    turns = [{"role": "user", "text": "hello"}, {"role": "assistant", "text": "hi"}]
    found = read(
        tmp_path,
        {
            "text": "x",
            "label": True,
            "categories": ["S10", "S1", "S1"],
            "language": "en",
            "source": "a b",
            "turns": turns,
        },
        {"text": "", "label": 0},
    )
    row, plain = found.rows
    assert (row.line, row.label, row.categories) == (1, True, ("S1", "S10"))
    assert (row.language, row.source, row.role) == ("en", "a b", "user")
    assert (plain.line, plain.label, plain.categories, plain.language) == (2, False, (), "")
    assert found.digest == "sha256:" + hashlib.sha256((tmp_path / "set.jsonl").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("role", "scope", "path"),
    [
        ("user", Scope.USER, "/messages/2/content"),
        ("tool", Scope.TOOL_RESULT, "/messages/2/content"),
        ("system", Scope.SYSTEM, "/messages/2/content"),
        ("assistant", Scope.OUTPUT, "/choices/0/message/content"),
    ],
)
def test_a_row_is_judged_where_the_gateway_would_meet_it(tmp_path: Path, role: str, scope: Scope, path: str) -> None:
    """A guard that reads conversations sees the turns before the text, and never the text as its own history."""
    turns = [{"role": "user", "text": "hello"}, {"role": "assistant", "text": "hi"}]
    (row,) = read(tmp_path, {"text": "x", "label": 1, "role": role, "turns": turns}).rows
    assert (row.part.scope, row.part.path, row.part.text) == (scope, path, "x")
    assert [turn.text for turn in row.context.history(row.part)] == ["hello", "hi"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"label": 1}, "`text` is missing, expected a string"),
        ({"text": [SECRET], "label": 1}, "`text` is a list, expected a string"),
        ({"text": SECRET}, "`label` is missing, expected 0, 1, true or false"),
        ({"text": SECRET, "label": 2}, "`label` is a number, expected 0, 1, true or false"),
        ({"text": SECRET, "label": SECRET}, "`label` is a string, expected 0, 1, true or false"),
        ({"text": SECRET, "label": 1, "role": SECRET}, f"`role` {NO_ROLE}"),
        ({"text": SECRET, "label": 1, "lang": "en"}, "unknown field `lang` (did you mean `language`?)"),
        ({"text": SECRET, "label": 1, "source": "a\nb"}, f"`source` {NO_NAME}"),
        ({"text": SECRET, "label": 1, "language": "e" * 65}, f"`language` {NO_NAME}"),
        ({"text": SECRET, "label": 1, "categories": "S1"}, NO_LIST),
        ({"text": SECRET, "label": 1, "categories": [SECRET * 4]}, NO_LIST),
        ({"text": SECRET, "label": 1, "turns": SECRET}, "`turns` is a string, expected a list of turns"),
        ({"text": SECRET, "label": 1, "turns": [SECRET]}, "turn 0 is not an object of `role` and `text` alone"),
        ({"text": SECRET, "label": 1, "turns": [{"role": "user"}]}, "`text` of turn 0 is missing, expected a string"),
        ({"text": SECRET, "label": 1, "turns": [{"role": SECRET, "text": ""}]}, f"`role` of turn 0 {NO_ROLE}"),
        ([SECRET], "found a list, expected an object with `text` and `label`"),
        ("\n", "the line is empty"),
        ('{"text": "' + SECRET + '\n', "the line is not valid JSON at line 1 column 10"),
        ('{"text": "a", "text": "b", "label": 1}\n', "an object in the line has the same key twice"),
        ('{"text": "\\ud800", "label": 1}\n', "the line holds an escape that is half of a character pair"),
        ('{"text": "x", "label": NaN}\n', "the line holds NaN or Infinity, which are not JSON"),
        ("[" * 100 + "\n", "the line nests deeper than 64 levels"),
    ],
)  # fmt: skip
def test_every_bad_line_is_a_problem_with_its_place(tmp_path: Path, line: Any, problem: str) -> None:
    assert problems(tmp_path, {"text": "fine", "label": 0}, line) == ((2, problem),)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "{}\n", {"text": SECRET, "label": 1}, "nonsense\n")
    assert [line for line, _ in found] == [1, 3]


def test_an_empty_file_is_no_set(tmp_path: Path) -> None:
    assert problems(tmp_path) == ((1, "the file has no rows"),)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.jsonl` cannot be read: no such file"):
        read_set(tmp_path / "none.jsonl")


def test_foreign_fields_are_left_aside_and_counted_under_names_that_can_be_printed(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": 1, "expect": "attack", "\x1b[31m": 1}, {"text": "y", "label": 0, "expect": "benign"}]
    assert read(tmp_path, *rows).ignored == (("`expect`", 2), ("with a name that is not printable here", 1))


def test_rows_do_not_show_their_text(tmp_path: Path) -> None:
    turns = [{"role": "user", "text": SECRET}]
    assert SECRET not in repr(read(tmp_path, {"text": SECRET, "label": 1, "turns": turns}))
