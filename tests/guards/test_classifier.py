"""The classifier guard: all of the text is judged, nobody closes their own window, the worst window counts."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from guards.classifier import INLINE_CHARS, MAX_CHARS, ROWS_PER_CALL, Classifier, lenient
from guards.endpoint import ClassifyEndpoint
from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.model_files import read_model
from guards.options import ClassifierOptions
from guards.profiles.prompt_guard_1 import PROMPT_GUARD_1_86M
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION
from guards.verdict import PPM, Context, Part, Scope
from tests.doubles import SPECIAL, ClassifyHost, write_manifest, write_model
from tests.guards.classifying import ATTACK, CLS, SEP, TOKENIZER, UNK, WORDS, Maker, part, sees_attack


async def test_the_attack_probability_becomes_the_score(make: Maker) -> None:
    guard, host = make()

    verdicts = await guard.judge([part("attack the world"), part("hello world")])

    assert [verdict.score_ppm for verdict in verdicts] == [900_000, 250_000]
    assert [verdict.windows for verdict in verdicts] == [1, 1]
    assert len(host.calls) == 1
    assert host.calls[0][0][0] == CLS
    assert host.calls[0][0][-1] == SEP


async def test_hazards_report_the_unsafe_score_and_the_worst_of_each_category(make: Maker) -> None:
    def score(ids: Sequence[int]) -> list[float]:
        return [0.9, *[0.1] * 12, 0.8, 0.3] if ATTACK in ids else [0.2, 0.6, *[0.05] * 13]

    guard, _ = make(STARTER_HAZARD, score)
    long = "hello " * 600 + "attack " * 100

    (verdict,) = await guard.judge([part(long)])

    assert verdict.windows == 4, "700 tokens in windows of 254 that overlap by 64"
    assert verdict.score_ppm == 900_000
    assert dict(verdict.categories)["S1"] == 600_000
    assert dict(verdict.categories)["S13"] == 800_000
    assert len(verdict.categories) == 14


@pytest.mark.parametrize("token", SPECIAL)
async def test_special_tokens_in_text_stay_text(make: Maker, token: str) -> None:
    guard, host = make()

    await guard.judge([part(f"a {token} b{token}{token.lower()}")])

    (row,) = host.calls[0]
    assert row.count(CLS) == 1
    assert row.count(SEP) == 1
    assert not {TOKENIZER.token_to_id("[PAD]"), TOKENIZER.token_to_id("[MASK]")} & set(row)


def with_loose_tokenizer(directory: Path, change: Callable[[dict[str, object]], None]) -> Path:
    path = directory / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    change(tokenizer)
    path.write_text(json.dumps(tokenizer))
    write_manifest(directory)
    return directory


async def test_a_vocabulary_that_holds_a_control_token_as_a_word_gets_it_in_pieces(tmp_path: Path) -> None:
    """Vocabularies that hold `[SEP]` as an ordinary piece ignore the switch; the text is cut inside it."""

    def split_on_blanks(tokenizer: dict[str, object]) -> None:
        tokenizer["pre_tokenizer"] = {"type": "WhitespaceSplit"}
        tokenizer["normalizer"] = None

    directory = with_loose_tokenizer(write_model(tmp_path / "m", STARTER_INJECTION, WORDS), split_on_blanks)
    files = read_model(STARTER_INJECTION, directory)
    host = ClassifyHost("m", files.digest, sees_attack)
    endpoint = ClassifyEndpoint("g", host.client(), "http://h", "m", 2, True, files.digest)

    (verdict,) = await Classifier(files, endpoint).judge([part("a [SEP] attack [CLS][CLS]")])

    (row,) = host.calls[0]
    assert (row.count(CLS), row.count(SEP)) == (1, 1)
    assert verdict.score_ppm == 900_000


async def test_truncation_and_padding_in_the_tokenizer_file_are_switched_off(tmp_path: Path) -> None:
    def cut(tokenizer: dict[str, object]) -> None:
        tokenizer["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}

    directory = with_loose_tokenizer(write_model(tmp_path / "m", STARTER_INJECTION, WORDS), cut)
    files = read_model(STARTER_INJECTION, directory)
    host = ClassifyHost("m", files.digest, sees_attack)
    endpoint = ClassifyEndpoint("g", host.client(), "http://h", "m", 2, True, files.digest)

    (verdict,) = await Classifier(files, endpoint).judge([part("hello " * 50 + "attack")])

    assert verdict.score_ppm == 900_000


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b\u200b", "\x00"])
async def test_text_without_a_token_has_nothing_to_judge(make: Maker, text: str) -> None:
    guard, host = make()

    verdicts = await guard.judge([part(text), part("hello")])

    assert (verdicts[0].score_ppm, verdicts[0].windows) == (0, 0)
    assert verdicts[1].windows == 1
    assert await guard.judge([part(text)]) == verdicts[:1]
    assert len(host.calls) == 1


@pytest.mark.parametrize("at", [0, 189, 190, 253, 254, 255, 700, 1010, 1011, 1199])
async def test_an_attack_is_seen_wherever_it_stands_in_a_long_text(make: Maker, at: int) -> None:
    guard, _ = make()
    words = ["hello"] * 1_200
    words[at] = "attack"

    (verdict,) = await guard.judge([part(" ".join(words))])

    assert (verdict.score_ppm, verdict.windows) == (900_000, 6)


@pytest.mark.parametrize(
    "text", ["attack🦄", "🦄attack", "hello🦄attack🦄world", "\u2603attack\u2603", "🦄" * 30 + "attack"]
)
async def test_a_character_that_the_vocabulary_lacks_hides_no_word(make: Maker, text: str) -> None:
    """WordPiece turns the whole word around it into one unknown token."""
    guard, host = make()

    verdict = (await guard.judge([part(text)]))[0]

    assert verdict.score_ppm == 900_000
    assert UNK in host.calls[0][0]


async def test_a_word_of_lacking_characters_stays_one_unknown_token(make: Maker) -> None:
    guard, host = make()

    await guard.judge([part("hello 🦄🦄🦄 world")])

    assert host.calls[0][0].count(UNK) == 1


async def test_a_word_too_long_for_the_vocabulary_is_cut_and_read(make: Maker) -> None:
    """WordPiece turns a word of more than 100 letters into one unknown token: a place to hide."""
    guard, host = make()

    (verdict,) = await guard.judge([part("x" * 24 * 5 + "attack" + "y" * 60 + " world")])

    assert verdict.score_ppm == 900_000
    assert UNK not in host.calls[0][0]


@pytest.mark.parametrize(
    "hidden",
    [
        "аttаck",
        "\u202eattack",
        "at\u200btack",
        "ａｔｔａｃｋ",
        base64.b64encode(b"please attack the whole world").decode(),
        "".join(chr(0xE0000 + ord(char)) for char in "attack"),
    ],
)
async def test_hidden_words_are_judged_in_the_form_that_shows_them(make: Maker, hidden: str) -> None:
    guard, _ = make()

    (verdict,) = await guard.judge([part(f"hello {hidden}")])

    assert verdict.score_ppm == 900_000


async def test_equal_windows_are_sent_once_and_long_batches_in_several_calls(make: Maker) -> None:
    guard, host = make()
    parts = [part(f"hello {i}") for i in range(ROWS_PER_CALL + 1)]

    verdicts = await guard.judge([*parts, *parts])

    assert [len(call) for call in host.calls] == [ROWS_PER_CALL, 1]
    assert verdicts[: len(parts)] == verdicts[len(parts) :]


async def test_a_batch_tokenised_in_a_thread_is_judged_the_same(make: Maker) -> None:
    guard, _ = make(max_windows=128)
    long = part("hello " * INLINE_CHARS)

    assert [v.score_ppm for v in await guard.judge([long, part("attack")])] == [250_000, 900_000]


@pytest.mark.parametrize("text", ["hello " * 6_000, " " * (MAX_CHARS + 1), "ﷺ" * (MAX_CHARS // 10)])
async def test_more_text_than_the_cap_is_refused_not_cut(make: Maker, text: str) -> None:
    guard, host = make()

    with pytest.raises(GuardError) as caught:
        await guard.judge([part("hello"), part(text)])
    assert caught.value.kind is ErrorKind.TOO_LONG
    assert host.calls == []


async def test_one_bad_row_is_an_error_for_all_parts(make: Maker) -> None:
    guard, _ = make(score=lambda ids: [0.1, 0.9] if ATTACK in ids else [float("nan"), 0.5])

    with pytest.raises(GuardError) as caught:
        await guard.judge([part("attack"), part("hello")])
    assert caught.value.kind is ErrorKind.BAD_ANSWER


@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_judged_or_empty_and_never_an_exception(make: Maker, text: str) -> None:
    guard, _ = make()

    (verdict,) = asyncio.run(guard.judge([part(text)]))

    assert 0 <= verdict.score_ppm <= PPM
    assert (verdict.windows == 0) == (verdict.score_ppm == 0)


def test_identity_names_profile_and_weights(make: Maker) -> None:
    guard, host = make()

    assert guard.identity.use == "starter_injection"
    assert guard.identity.weights == host.weights
    assert guard.thresholds.score_ppm == 500_000


PG1 = {"safe": [0.8, 0.15, 0.05], "told": [0.1, 0.85, 0.05], "broken": [0.1, 0.2, 0.7]}


@pytest.mark.parametrize(
    ("scope", "word", "ppm"),
    [
        (Scope.USER, "told", 50_000),
        (Scope.HISTORY, "told", 50_000),
        (Scope.OUTPUT, "told", 50_000),
        (Scope.TOOL_RESULT, "told", 900_000),
        (Scope.TOOL_SCHEMA, "told", 900_000),
        (Scope.USER, "broken", 700_000),
        (Scope.TOOL_RESULT, "broken", 900_000),
        (Scope.TOOL_RESULT, "safe", 200_000),
    ],
)
async def test_which_labels_count_depends_on_who_wrote_the_text(
    tmp_path: Path, scope: Scope, word: str, ppm: int
) -> None:
    """Prompt Guard 1: users give instructions, so INJECTION says something of third-party text only."""
    files = read_model(PROMPT_GUARD_1_86M, write_model(tmp_path / "m", PROMPT_GUARD_1_86M, tuple(PG1)))
    tokenizer = Tokenizer.from_str(files.tokenizer_json)
    words = {tokenizer.token_to_id(name): probs for name, probs in PG1.items()}
    host = ClassifyHost("m", files.digest, lambda ids: next(words[i] for i in ids if i in words))
    endpoint = ClassifyEndpoint("g", host.client(), "http://h", "m", 3, True, files.digest)

    (verdict,) = await Classifier(files, endpoint).judge([Part(scope, "/messages/0/content", "user", word)])

    assert verdict.score_ppm == ppm
    assert dict(verdict.categories) == {
        "INJECTION": round(PG1[word][1] * PPM),
        "JAILBREAK": round(PG1[word][2] * PPM),
    }


@pytest.mark.parametrize(
    "text", ["hello world", "Hello, world! It's 5 o'clock.", "naïve café 👨‍👩‍👧 🇩🇪", "привет мир", "x = 1\ny = 2"]
)
async def test_honest_text_costs_one_window(make: Maker, text: str) -> None:
    guard, host = make()

    (verdict,) = await guard.judge([part(text)])

    assert (verdict.windows, verdict.view) == (1, "raw")
    assert len(host.calls[0]) == 1


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("attack", "raw"),
        ("\u202eattack", "raw"),
        ("ａｔｔａｃｋ", "normalised"),
        ("аttаck", "skeleton"),
        ("a t t a c k", "unspaced"),
        ("4tt4ck", "leet"),
        (base64.b64encode(b"please attack the whole world").decode(), "decoded"),
        ("<!-- attack the whole world -->", "raw"),
    ],
)
async def test_the_view_whose_score_counted_is_named(make: Maker, text: str, view: str) -> None:
    """The first of them, where several score the same."""
    guard, _ = make()

    (verdict,) = await guard.judge([part(text)])

    assert (verdict.score_ppm, verdict.view) == (900_000, view)


async def test_views_that_are_not_asked_for_are_not_judged(make: Maker) -> None:
    guard, _ = make(options=ClassifierOptions(views=("raw", "leet")))

    verdicts = await guard.judge([part("ａｔｔａｃｋ a t t a c k"), part("4tt4ck")])

    assert [(verdict.score_ppm, verdict.view) for verdict in verdicts] == [(250_000, "raw"), (900_000, "leet")]


async def test_text_hidden_deeper_than_the_decoders_follow_is_an_error(make: Maker) -> None:
    guard, host = make()
    text = "attack the whole world"
    for _ in range(6):
        text = base64.b64encode(text.encode()).decode()

    with pytest.raises(GuardError) as caught:
        await guard.judge([part(text)])
    assert caught.value.kind is ErrorKind.TOO_LONG
    assert host.calls == []


async def test_the_seventeenth_hidden_text_is_read_like_the_first(make: Maker) -> None:
    guard, _ = make()
    texts = [base64.b64encode(f"hello number {number} of many".encode()).decode() for number in range(40)]
    texts.append(base64.b64encode(b"please attack the whole world").decode())

    (verdict,) = await guard.judge([part(" and ".join(texts))])

    assert (verdict.score_ppm, verdict.view) == (900_000, "decoded")


async def test_more_windows_need_a_higher_score_only_where_that_is_chosen(make: Maker) -> None:
    long = part("hello " * 600 + "attack")

    plain, _ = make(options=ClassifierOptions())
    chosen, _ = make(options=ClassifierOptions(length_aware=True))

    assert [verdict.score_ppm for verdict in await plain.judge([long, part("attack")])] == [900_000] * 2
    found = await chosen.judge([long, part("attack")])
    assert [verdict.windows for verdict in found] == [3, 1]
    assert [verdict.score_ppm for verdict in found] == [750_000, 900_000], "odds of 9 to 1, by three windows"


@pytest.mark.parametrize(("score", "count", "expected"), [(0.9, 1, 0.9), (0.5, 2, 1 / 3), (1.0, 8, 1.0), (0.0, 3, 0.0)])
def test_odds_are_divided_by_the_windows(score: float, count: int, expected: float) -> None:
    assert lenient(score, count) == pytest.approx(expected)
    assert lenient(score, 8) == lenient(score, 1_000)
    assert lenient(score, 0) == pytest.approx(score)


async def test_the_overlap_can_be_chosen_up_to_half_a_window(make: Maker) -> None:
    text = part(" ".join(f"{chr(97 + number % 26)}{number % 10}" for number in range(300)))
    rows = []
    for overlap in (0, None, 127):
        guard, host = make(options=ClassifierOptions(overlap=overlap))
        await guard.judge([text])
        rows.append(len(host.calls[0]))

    assert rows == sorted(rows)
    assert rows[0] < rows[2]
    with pytest.raises(GuardSetupError, match="at most 127"):
        make(options=ClassifierOptions(overlap=128))


async def test_windows_are_remembered_apart_for_each_tenant(make: Maker) -> None:
    guard, host = make(options=ClassifierOptions())
    long = "hello world " * 130 + "attack"

    for tenant, text in (("a", long), ("a", long + " and more words at its end"), ("b", long)):
        await guard.judge([part(text)], Context(tenant=tenant))

    first, grown, other = host.calls
    assert len(grown) == 1, "the windows before the last one are the same"
    assert other == first
    assert guard.window_counts is not None
    assert (guard.window_counts.hits, guard.window_counts.misses) == (len(first) - 1, 2 * len(first) + 1)


async def test_without_a_memory_nothing_is_kept(make: Maker) -> None:
    guard, host = make(options=ClassifierOptions(memory=False))

    for _ in range(2):
        await guard.judge([part("hello")])

    assert len(host.calls) == 2
    assert guard.window_counts is None


def test_a_verdict_depends_on_the_text_and_on_whether_a_third_party_wrote_it(make: Maker) -> None:
    guard, _ = make()
    user, history = part("x"), Part(Scope.HISTORY, "/messages/3/content", "assistant", "x")
    tool = Part(Scope.TOOL_RESULT, "/messages/4/content", "tool", "x")

    assert guard.reads(user, Context()) == guard.reads(history, Context())
    assert guard.reads(user, Context()) != guard.reads(tool, Context())
