"""The list of codes under a trie, against the sum over every list that a model could write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters

import pytest

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.categories import CodeTrie, Reading, trie_of
from guards.generative.tokens import GuardTokenizer, Ids
from guards.profiles.llama_guard_prompt import ANSWER
from tests.guards.generative.stand_ins import LLAMA3, Think, llama_guard, tokenizer_of

FILE = tokenizer_of(LLAMA3)
TOKENIZER = GuardTokenizer("g", FILE.to_str())
END = FILE.token_to_id("<|eot_id|>")
CODES = [f"S{i}" for i in range(1, 15)]
START: Ids = (FILE.token_to_id("<|end_header_id|>"), *TOKENIZER.words("\n\nunsafe"))


def trie(codes: Sequence[str] = CODES) -> CodeTrie:
    made = trie_of("g", ANSWER, TOKENIZER, codes, frozenset({END}))
    assert made is not None
    return made


def ids(word: str) -> int:
    return int(found) if (found := FILE.token_to_id(word)) is not None else TOKENIZER.words(word)[0]


def read(think: Think, codes: Sequence[str] = CODES, floor: float = 0.5) -> tuple[dict[str, float], int, list[Ids]]:
    """What is found, in how many calls, and every prompt."""
    reading, calls, asked = Reading("g", trie(codes), START, floor), 0, []
    while not reading.is_done:
        prompts = reading.prompts()
        calls, asked = calls + 1, [*asked, *prompts]
        answers = [
            {ids(word): share for word, share in think("assistant" + FILE.decode(p, skip_special_tokens=False)).items()}
            for p in prompts
        ]
        reading.take(answers)
    return reading.found, calls, asked


def test_codes_are_told_apart_after_their_letter() -> None:
    made = trie()

    assert made.opening == TOKENIZER.words("\n")
    assert dict(made.first)["S1"] == (ids("S"), ids("1"))
    assert dict(made.first)["S10"] == (ids("S"), ids("10"))
    assert dict(made.next)["S10"] == (ids(",S"), ids("10"))
    assert made.forks(made.first) == ((ids("S"),),)
    assert made.forks(made.next) == ((ids(",S"),),)


def test_each_code_gets_the_probability_that_it_is_listed() -> None:
    found, calls, _ = read(llama_guard(lambda text: 1.0, ("S9", "S10")))

    after_first = 0.97 * 0.8
    assert found["S9"] == pytest.approx(0.97 * 0.8)
    assert found["S10"] == pytest.approx(0.97 * 0.2 / 13 + after_first * 0.9 * (0.8 / (0.8 + 0.2)))
    assert calls <= 4
    assert sum(found.values()) <= 2 + 0.1
    assert set(found) == set(CODES)


def test_forced_tokens_are_not_asked_for() -> None:
    """Two questions a code: whether one comes, and which. The line break, `S` and `,S` follow from that."""
    _, calls, asked = read(llama_guard(lambda text: 1.0, ("S3",)))

    assert len(asked) == 2 * calls
    assert asked[0] == START
    assert asked[1] == (*START, *TOKENIZER.words("\n"), ids("S"))


def test_a_code_is_never_listed_twice() -> None:
    def stuck(text: str) -> Mapping[str, float]:
        if text.endswith("S"):
            return {"9": 0.99, "1": 0.01}
        return {"\n": 1.0} if text.endswith("unsafe") else {",S": 0.9, "<|eot_id|>": 0.1}

    found, _, _ = read(stuck, ["S1", "S9"])

    assert found["S9"] == pytest.approx(0.99)
    assert found["S1"] == pytest.approx(0.01 + 0.99 * 0.9)


def test_unsafe_without_a_code_leaves_all_of_them_out() -> None:
    found, calls, _ = read(lambda text: {"<|eot_id|>": 1.0} if text.endswith("unsafe") else {"9": 1.0})

    assert found == {}
    assert calls == 1


def test_a_bound_holds_whatever_the_model_says() -> None:
    for spread in (0.05, 0.3, 0.6):
        even = {str(i): (1 - spread) / 13 for i in range(2, 15)}

        def think(text: str, spread: float = spread, even: Mapping[str, float] = even) -> Mapping[str, float]:
            if text.endswith("S"):
                return {"1": spread, **even}
            return {"\n": 1.0} if text.endswith("unsafe") else {",S": 0.5, "<|eot_id|>": 0.5}

        assert all(0 <= share <= 1 for share in read(think)[0].values())


@pytest.mark.parametrize(
    ("think", "told"),
    [
        (lambda text: {"bomb": 1.0}, "neither a category nor an end"),
        (lambda text: {"\n": 1.0} if text.endswith("unsafe") else {"bomb": 0.9, "1": 0.1}, "something else than a"),
    ],
)
def test_a_model_that_lists_something_else_is_an_error(think: Think, told: str) -> None:
    with pytest.raises(GuardError, match=told) as caught:
        read(think)
    assert caught.value.kind is ErrorKind.BAD_ANSWER


def test_an_unlikely_list_that_goes_astray_is_left() -> None:
    def think(text: str) -> Mapping[str, float]:
        return {"\n": 0.1, "<|eot_id|>": 0.9} if text.endswith("unsafe") else {"bomb": 1.0}

    assert read(think)[0] == {}


def test_codes_of_several_letters_fork_where_they_differ() -> None:
    made = trie(["S1", "S2", "X1"])

    assert made.forks(made.first) == ((), (ids("S"),))
    found, _, _ = read(
        lambda text: (
            {"\n": 1.0}
            if text.endswith("unsafe")
            else {"X": 0.75, "S": 0.25}
            if text.endswith("\n")
            else {"1": 0.5, "2": 0.5}
            if text.endswith(("S", "X"))
            else {"<|eot_id|>": 1.0}
        ),
        ["S1", "S2", "X1"],
    )
    assert found == pytest.approx({"X1": 0.75, "S1": 0.125, "S2": 0.125})


def test_a_guard_without_codes_has_no_trie() -> None:
    assert trie_of("g", ANSWER, TOKENIZER, [], frozenset({END})) is None


@pytest.mark.parametrize(
    ("codes", "ends", "told"),
    [
        (["S1", "S1x"], {END}, "begin those"),
        (["S1"], set(), "ends an"),
        ([f"{letter}{10 + i % 12}" for i, letter in enumerate(ascii_letters)], {END}, "different tokens"),
    ],
)
def test_codes_that_cannot_be_told_apart_are_refused(codes: list[str], ends: set[int], told: str) -> None:
    with pytest.raises(GuardSetupError, match=told):
        trie_of("g", ANSWER, TOKENIZER, codes, frozenset(ends))
