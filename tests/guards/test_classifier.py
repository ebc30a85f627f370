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

from guards.classifier import INLINE_CHARS, MAX_CHARS, ROWS_PER_CALL, Classifier
from guards.endpoint import ClassifyEndpoint
from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.model_files import read_model
from guards.options import ClassifierOptions
from guards.profiles.profile import Profile
from guards.profiles.starter_hazard import STARTER_HAZARD
from guards.profiles.starter_injection import STARTER_INJECTION
from guards.verdict import PPM, Part, Scope
from tests.doubles import SPECIAL, ClassifyHost, tiny_tokenizer, write_manifest, write_model

WORDS = ("attack", "hello", "world", "##attack")
TOKENIZER = tiny_tokenizer(WORDS)
ATTACK, CLS, SEP, UNK = (TOKENIZER.token_to_id(token) for token in ("attack", "[CLS]", "[SEP]", "[UNK]"))


def part(text: str) -> Part:
    return Part(Scope.USER, "/messages/0/content", "user", text)


def sees_attack(ids: Sequence[int]) -> list[float]:
    return [0.1, 0.9] if ATTACK in ids else [0.75, 0.25]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[Classifier, ClassifyHost]]:
    def make(
        profile: Profile = STARTER_INJECTION,
        score: Callable[[Sequence[int]], Sequence[float]] = sees_attack,
        max_windows: int = 8,
    ) -> tuple[Classifier, ClassifyHost]:
        files = read_model(profile, write_model(tmp_path / profile.use, profile, WORDS))
        host = ClassifyHost("m", files.digest, score)
        sums = profile is STARTER_INJECTION
        endpoint = ClassifyEndpoint(
            profile.use, host.client(), "http://h", "m", len(profile.labels), sums, files.digest
        )
        return Classifier(files, endpoint, ClassifierOptions(max_windows=max_windows)), host

    return make


Make = Callable[..., tuple[Classifier, ClassifyHost]]


async def test_the_attack_probability_becomes_the_score(make: Make) -> None:
    guard, host = make()

    verdicts = await guard.judge([part("attack the world"), part("hello world")])

    assert [verdict.score_ppm for verdict in verdicts] == [900_000, 250_000]
    assert [verdict.windows for verdict in verdicts] == [1, 1]
    assert len(host.calls) == 1
    assert host.calls[0][0][0] == CLS
    assert host.calls[0][0][-1] == SEP


async def test_hazards_report_the_unsafe_score_and_the_worst_of_each_category(make: Make) -> None:
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
async def test_special_tokens_in_text_stay_text(make: Make, token: str) -> None:
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
async def test_text_without_a_token_has_nothing_to_judge(make: Make, text: str) -> None:
    guard, host = make()

    verdicts = await guard.judge([part(text), part("hello")])

    assert (verdicts[0].score_ppm, verdicts[0].windows) == (0, 0)
    assert verdicts[1].windows == 1
    assert await guard.judge([part(text)]) == verdicts[:1]
    assert len(host.calls) == 1


@pytest.mark.parametrize("at", [0, 189, 190, 253, 254, 255, 700, 1010, 1011, 1199])
async def test_an_attack_is_seen_wherever_it_stands_in_a_long_text(make: Make, at: int) -> None:
    guard, _ = make()
    words = ["hello"] * 1_200
    words[at] = "attack"

    (verdict,) = await guard.judge([part(" ".join(words))])

    assert (verdict.score_ppm, verdict.windows) == (900_000, 6)


@pytest.mark.parametrize(
    "text", ["attack🦄", "🦄attack", "hello🦄attack🦄world", "\u2603attack\u2603", "🦄" * 30 + "attack"]
)
async def test_a_character_that_the_vocabulary_lacks_hides_no_word(make: Make, text: str) -> None:
    """WordPiece turns the whole word around it into one unknown token."""
    guard, host = make()

    verdict = (await guard.judge([part(text)]))[0]

    assert verdict.score_ppm == 900_000
    assert UNK in host.calls[0][0]


async def test_a_word_of_lacking_characters_stays_one_unknown_token(make: Make) -> None:
    guard, host = make()

    await guard.judge([part("hello 🦄🦄🦄 world")])

    assert host.calls[0][0].count(UNK) == 1


async def test_a_word_too_long_for_the_vocabulary_is_cut_and_read(make: Make) -> None:
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
async def test_hidden_words_are_judged_in_the_form_that_shows_them(make: Make, hidden: str) -> None:
    guard, _ = make()

    (verdict,) = await guard.judge([part(f"hello {hidden}")])

    assert verdict.score_ppm == 900_000


async def test_equal_windows_are_sent_once_and_long_batches_in_several_calls(make: Make) -> None:
    guard, host = make()
    parts = [part(f"hello {i}") for i in range(ROWS_PER_CALL + 1)]

    verdicts = await guard.judge([*parts, *parts])

    assert [len(call) for call in host.calls] == [ROWS_PER_CALL, 1]
    assert verdicts[: len(parts)] == verdicts[len(parts) :]


async def test_a_batch_tokenised_in_a_thread_is_judged_the_same(make: Make) -> None:
    guard, _ = make(max_windows=128)
    long = part("hello " * INLINE_CHARS)

    assert [v.score_ppm for v in await guard.judge([long, part("attack")])] == [250_000, 900_000]


@pytest.mark.parametrize("text", ["hello " * 6_000, " " * (MAX_CHARS + 1), "ﷺ" * (MAX_CHARS // 10)])
async def test_more_text_than_the_cap_is_refused_not_cut(make: Make, text: str) -> None:
    guard, host = make()

    with pytest.raises(GuardError) as caught:
        await guard.judge([part("hello"), part(text)])
    assert caught.value.kind is ErrorKind.TOO_LONG
    assert host.calls == []


async def test_one_bad_row_is_an_error_for_all_parts(make: Make) -> None:
    guard, _ = make(score=lambda ids: [0.1, 0.9] if ATTACK in ids else [float("nan"), 0.5])

    with pytest.raises(GuardError) as caught:
        await guard.judge([part("attack"), part("hello")])
    assert caught.value.kind is ErrorKind.BAD_ANSWER


@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=200))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_judged_or_empty_and_never_an_exception(make: Make, text: str) -> None:
    guard, _ = make()

    (verdict,) = asyncio.run(guard.judge([part(text)]))

    assert 0 <= verdict.score_ppm <= PPM
    assert (verdict.windows == 0) == (verdict.score_ppm == 0)


def test_identity_names_profile_and_weights(make: Make) -> None:
    guard, host = make()

    assert guard.identity.use == "starter_injection"
    assert guard.identity.weights == host.weights
    assert guard.thresholds.score_ppm == 500_000


@pytest.mark.parametrize("content", ["{}", "not json", '{"version": "1.0", "model": {"type": "Nope"}}'])
def test_a_tokenizer_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    directory = write_model(tmp_path / "m", STARTER_INJECTION)
    (directory / "tokenizer.json").write_text(content)
    write_manifest(directory)
    files = read_model(STARTER_INJECTION, directory)
    endpoint = ClassifyEndpoint(
        "g", ClassifyHost("m", "", sees_attack).client(), "http://h", "m", 2, True, files.digest
    )

    with pytest.raises(GuardSetupError, match=r"tokenizer\.json"):
        Classifier(files, endpoint)


def test_a_tokenizer_without_the_framing_tokens_is_refused(tmp_path: Path) -> None:
    def rename(tokenizer: dict[str, object]) -> None:
        text = json.dumps(tokenizer).replace("[CLS]", "[BOS]")
        tokenizer.update(json.loads(text))

    files = read_model(STARTER_INJECTION, with_loose_tokenizer(write_model(tmp_path / "m", STARTER_INJECTION), rename))
    endpoint = ClassifyEndpoint(
        "g", ClassifyHost("m", "", sees_attack).client(), "http://h", "m", 2, True, files.digest
    )

    with pytest.raises(GuardSetupError, match=r"no token `\[CLS\]`"):
        Classifier(files, endpoint)
