"""The grammar of a written answer: anything else is no verdict."""

from __future__ import annotations

import pytest

from guards.generative.answer import NotAnAnswer, WrittenAnswer, parse_answer

CODES = [f"S{i}" for i in range(1, 15)]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("safe", WrittenAnswer(False)),
        ("\n\nsafe", WrittenAnswer(False)),
        ("\n\nsafe<|eot_id|>", WrittenAnswer(False)),
        ("unsafe", WrittenAnswer(True)),
        ("unsafe\n", WrittenAnswer(True)),
        ("\n\nunsafe<|end_of_text|>", WrittenAnswer(True)),
        ("\n\nunsafe\nS10", WrittenAnswer(True, ("S10",))),
        ("unsafe\nS1,S10", WrittenAnswer(True, ("S1", "S10"))),
        ("unsafe\r\nS1", WrittenAnswer(True, ("S1",))),
        ("unsafe\nS1, S2", WrittenAnswer(True, ("S1", "S2"), 0, ("spaces",))),
        ("unsafe\nS1,S1", WrittenAnswer(True, ("S1",), 0, ("repeats",))),
        ("Unsafe\ns9", WrittenAnswer(True, ("S9",), 0, ("case",))),
        ("unsafe\nS99", WrittenAnswer(True, (), 1, ("unknown_code",))),
        ("unsafe\nS2,X7", WrittenAnswer(True, ("S2",), 1, ("unknown_code",))),
    ],
)
def test_the_grammar_is_read_and_deviations_are_named(text: str, answer: WrittenAnswer) -> None:
    assert parse_answer(text, CODES) == answer


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " \n",
            "safely",
            "safe but not",
            "safety first",
            "safe.",
            "Safe!",
            "safe\nS1",
            "safe\n\nsafe",
            "unsafe.",
            "un",
        ),
        *("unsafe S1", "unsafe\nS1\nS2", "unsafe\nS1 S2", "unsafe\nviolence", "unsafe\nS1,", "unsafe\n,S1"),
        *("I cannot answer", "safe\nunsafe", "unsafe\n\nS1", "unsafe\nS" + "1" * 600, "not unsafe"),
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(NotAnAnswer) as caught:
        parse_answer(text, CODES)
    assert text.strip() == "" or text not in str(caught.value) or text in ("safe", "un")
