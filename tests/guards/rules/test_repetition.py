"""What repeats in a row is found whole; lists, tables and poems are not."""

from __future__ import annotations

import time

import pytest

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.rules.repetition import MAX_TEXT, RepetitionGuard

LINE = "- the same line again\n"


@pytest.mark.parametrize(
    ("text", "label", "found"),
    [
        ("So. " + "very good indeed " * 12 + "end", "words", ("very good indeed " * 12).rstrip()),
        ("a" * 300, "characters", "a" * 300),
        ("x" + "哈" * 260, "characters", "哈" * 260),
        ("intro\n" + LINE * 12, "lines", (LINE * 12).rstrip("\n")),
    ],
)
def test_a_repeat_is_found_whole(text: str, label: str, found: str) -> None:
    assert (label, found) in [(span.label, text[span.start : span.end]) for span in RepetitionGuard().spans(text)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ha ha ha ha",
        "-" * 80,
        "| a | b |\n" * 4,
        "\n".join(f"{n}. item number {n} of the list" for n in range(50)),
        "very good indeed " * 5,
        " " * 5_000,
    ],
)
def test_what_people_write_is_left_alone(text: str) -> None:
    assert list(RepetitionGuard().spans(text)) == []


def test_how_often_and_what_can_be_chosen() -> None:
    text = "one two three four five six " * 5
    assert [span.label for span in RepetitionGuard(4, ["words"]).spans(text)] == ["words"]
    assert list(RepetitionGuard(4, ["lines"]).spans(text)) == []
    for find in ([], ["tables"]):
        with pytest.raises(GuardSetupError):
            RepetitionGuard(find=find)


def test_a_text_that_is_too_long_has_no_verdict() -> None:
    with pytest.raises(GuardError) as caught:
        list(RepetitionGuard().spans("a" * (MAX_TEXT + 1)))
    assert caught.value.kind is ErrorKind.TOO_LONG


class Counted(str):
    """A text that counts how often a character is read."""

    reads = 0

    def __getitem__(self, at: object) -> str:  # type: ignore[override]
        Counted.reads += 1
        return super().__getitem__(at)  # type: ignore[index]


@pytest.mark.parametrize("unit", ["a", "ab", "a b ", "abcdefgh", "x\n", "aab"])
def test_twice_the_text_costs_twice_the_reads(unit: str) -> None:
    reads = []
    for length in (50_000, 100_000):
        Counted.reads = 0
        list(RepetitionGuard().spans(Counted(unit * (length // len(unit)))))
        reads.append(Counted.reads)
    assert reads[1] <= 2.01 * reads[0] + 100
    assert reads[1] <= 100 * 100_000


@pytest.mark.parametrize("blank", ["\t", " \n", "a", "a "])
def test_a_text_that_never_comes_to_its_end_costs_no_more_than_another(blank: str) -> None:
    before = time.process_time()
    list(RepetitionGuard().spans(blank * 60_000))
    assert time.process_time() - before < 5  # with the square of the text: a minute
