"""What every rule guard promises whatever it looks for."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards.rules.base import CHUNK, INLINE_ASCII, MAX_SPANS, RuleGuard, compile_re2, matches, occurs, runs
from guards.rules.entities import EntitiesGuard
from guards.rules.exfiltration import ExfiltrationGuard
from guards.rules.near import NearGuard
from guards.rules.regex import RegexGuard
from guards.rules.repetition import RepetitionGuard
from guards.rules.secrets import SecretsGuard
from guards.rules.size import SizeGuard
from guards.rules.special_tokens import SpecialTokensGuard
from guards.rules.terms import TermsGuard
from guards.rules.unicode import UnicodeGuard
from guards.verdict import PPM, Part, Scope, Span, Verdict

GUARDS = [
    UnicodeGuard(),
    SpecialTokensGuard(),
    SecretsGuard(),
    RegexGuard(r"\w+@\w+", "mail"),
    EntitiesGuard(),
    NearGuard(r"\bpass\w{0,20}", r"\w{1,40}", 5),
    TermsGuard(["hunter22", "a b", "éa"]),
    ExfiltrationGuard(["a.test"]),
    RepetitionGuard(4),
    SizeGuard({"characters": 20, "words": 3, "lines": 2}),
    UnicodeGuard(["homoglyph"]),
]
HIDING = "\u200b\u200d\ufe0f\U000e0041\u202e\u2066\u2069\x00\u00ad"
PIECES = [
    "<|eot|>",
    "＜｜eot｜＞",
    "password = ",
    '"hunter22"',
    "eyJhbGciOiJub25lIn0.e30.",
    "a@b",
    "[INST]",
    "🏴",
    "\n",
    "é",
]


def part(text: str) -> Part:
    return Part(Scope.USER, "/messages/0/content", "user", text)


def judged(guard: RuleGuard, text: str) -> Verdict:
    return guard.judge_now([part(text)])[0]


texts = st.lists(st.one_of(st.sampled_from([*PIECES, *HIDING]), st.text(max_size=4)), max_size=40).map("".join)
any_characters = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.identity.use)
@given(text=st.one_of(texts, any_characters))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_sorted_spans_inside_the_text_and_the_same_ones_again(guard: RuleGuard, text: str) -> None:
    verdict = judged(guard, text)

    assert verdict == judged(guard, text)
    assert all(0 <= span.start < span.end <= len(text) for span in verdict.spans)
    assert list(verdict.spans) == sorted(verdict.spans)
    assert verdict.score_ppm == (PPM if verdict.spans else 0)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.identity.use)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ud800",
        "pass \udfff word",
        "\u200b" * 50_000,
        "a\u200b" * 25_000,
        "ﷺ" * 20_000,
        "＜" * 50_000,
        "\ud83d" * 999,
    ],
    ids=[
        "empty",
        "lone-surrogate",
        "surrogate-inside",
        "50k-zero-width",
        "50k-split",
        "expanding",
        "full-width",
        "many",
    ],
)
def test_hostile_text_is_judged_without_an_exception(guard: RuleGuard, text: str) -> None:
    assert judged(guard, text).windows == 1


@pytest.mark.parametrize(
    "guard", [one for one in GUARDS if not isinstance(one, RepetitionGuard)], ids=lambda guard: guard.identity.use
)
@pytest.mark.parametrize("unit", ["ordinary text with words, ", "señal ünter 日本 ", "sk-ghp_<|eot "])
async def test_ten_megabytes_are_judged_off_the_event_loop(guard: RuleGuard, unit: str) -> None:
    """The loop turns again before the judging thread has computed for long, however busy the machine is.

    The loop may be late for another reason, but not for one each time.
    """
    text = (unit * (10_000_000 // len(unit.encode())))[:10_000_000]
    longest = [await computed_between_turns(guard, text)]
    while longest[-1] > 0.08 and len(longest) < 4:
        longest.append(await computed_between_turns(guard, text))
    assert longest[-1] <= 0.08, longest


async def computed_between_turns(guard: RuleGuard, text: str) -> float:
    """The most seconds that the thread in which the guard judges computed while the loop did not turn."""
    threads: list[int] = []
    pool = ThreadPoolExecutor(1, initializer=lambda: threads.append(threading.get_ident()))
    asyncio.get_running_loop().set_default_executor(pool)
    await asyncio.to_thread(lambda: None)
    computed = partial(time.clock_gettime, time.pthread_getcpuclockid(threads[0]))
    longest, done = 0.0, asyncio.create_task(guard.judge([part(text)]))
    while not done.done():
        before = computed()
        await asyncio.sleep(0.001)
        longest = max(longest, computed() - before)
    assert len(done.result()) == 1
    pool.shutdown()
    return longest


def test_more_hits_than_the_cap_end_in_one_span_to_the_end_of_the_text() -> None:
    text = "a@b " * (MAX_SPANS * 2)

    spans = judged(RegexGuard(r"\w@\w"), text).spans

    assert len(spans) == MAX_SPANS
    assert spans[-1] == Span((MAX_SPANS - 1) * 4, len(text), "match")


def test_hits_of_one_label_beyond_the_cap_hide_no_other_label() -> None:
    text = "a@b.test " * (MAX_SPANS * 2) + "ssn 536-22-1234"

    spans = judged(EntitiesGuard(["email", "ssn"]), text).spans

    assert [text[span.start : span.end] for span in spans if span.label == "ssn"] == ["536-22-1234"]
    assert len(spans) == MAX_SPANS + 1


def test_a_rule_may_run_inline_only_on_small_batches() -> None:
    guard = UnicodeGuard()

    assert guard.is_quick([part("x" * INLINE_ASCII)])
    assert not guard.is_quick([part("x" * INLINE_ASCII), part("y")])
    assert not guard.is_quick([part("é" * INLINE_ASCII)])


async def test_inline_and_threaded_judging_agree() -> None:
    guard = SecretsGuard()
    small, large = part("password = 'hunter22'"), part("x " * INLINE_ASCII + "password = 'hunter22'")

    assert [verdict.score_ppm for verdict in await guard.judge([small, large])] == [PPM, PPM]
    assert await guard.judge([small]) == guard.judge_now([small])


def test_identity_names_the_rule_and_its_version_and_no_weights() -> None:
    assert [(g.identity.version, g.identity.weights) for g in GUARDS[:3]] == [
        ("unicode/2", ""),
        ("special_tokens/2", ""),
        ("secrets/4", ""),
    ]


def test_a_rule_without_spans_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        RuleGuard("nothing", 1)  # type: ignore[abstract]


def test_a_rule_that_raises_is_not_a_verdict() -> None:
    class Broken(RuleGuard):
        def spans(self, text: str) -> Iterator[Span]:
            raise RecursionError

    with pytest.raises(RecursionError):
        judged(Broken("broken", 1), "text")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, CHUNK // 2 + 7)), max_size=9))
@settings(max_examples=40, deadline=None)
def test_runs_are_the_same_whether_or_not_a_chunk_ends_inside_them(pieces: list[tuple[bool, int]]) -> None:
    text = "".join(("z" if hit else "-") * length for hit, length in pieces)

    assert list(runs(re.compile("[z]+"), text)) == [match.span() for match in re.finditer("z+", text)]
    assert occurs(re.compile("z"), text) == ("z" in text)


def test_re2_offsets_are_characters_also_beyond_the_basic_plane_and_after_surrogates() -> None:
    assert [m.span() for m in matches(compile_re2("x"), "😀é\ud800x𝒳x")] == [(3, 4), (5, 6)]
