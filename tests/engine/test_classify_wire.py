"""All four forms of `input` become lists of ids, none is cut, and an answer is in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from engine.classify_wire import ClassifyRequest, classify_answer, parse_classify
from engine.errors import BadRequest
from engine.wire import Fields


@dataclass(frozen=True)
class Info:
    labels: tuple[str, ...] = ("benign", "attack")
    max_tokens: int = 8
    vocabulary: int = 100


def parsed(value: Any) -> tuple[tuple[int, ...], ...]:
    return parse_classify(Fields({"model": "m", "input": value}), Info(), None).inputs


def test_ids_and_lists_of_ids_are_taken_as_they_are() -> None:
    assert parsed([1, 2]) == ((1, 2),)
    assert parsed([[1], [2, 3]]) == ((1,), (2, 3))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "invalid_parameter"),
        ([], "invalid_parameter"),
        ([[]], "invalid_parameter"),
        ([[1, "a"]], "invalid_parameter"),
        ([[1.0]], "invalid_parameter"),
        ([True], "invalid_parameter"),
        ([[1] * 9], "context_length_exceeded"),
        ([100], "invalid_token_id"),
        ([-1], "invalid_token_id"),
        ([[1]] * 513, "too_many_inputs"),
        ("text", "no_tokenizer"),
    ],
)
def test_everything_else_has_a_code(value: Any, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(value)
    assert caught.value.code == code


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(BadRequest):
        parse_classify(Fields({"model": "m", "input": [1], "truncate_prompt_tokens": 4}), Info(), None)


def test_the_answer_names_the_most_probable_label_and_the_weights() -> None:
    answer = classify_answer("m", "sha256:1", Info(), ClassifyRequest(((1, 2), (3,))), [(0.9, 0.1), (0.2, 0.8)])

    assert [(row["index"], row["label"], row["probs"]) for row in answer["data"]] == [
        (0, "benign", [0.9, 0.1]),
        (1, "attack", [0.2, 0.8]),
    ]
    assert (answer["model"], answer["weights"], answer["usage"]["prompt_tokens"]) == ("m", "sha256:1", 3)
