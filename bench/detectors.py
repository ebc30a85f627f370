"""What the detectors without a model find, what they miss, and what they take for something that it is not.

    python -m bench.detectors                       everything below, as tables
    python -m bench.detectors --data DIR            the ordinary texts of DIR (*.jsonl.gz: text, label, lang) besides

Texts with something to find are made here (bench/detector_texts.py) or by disguising ordinary ones; ordinary texts are
those that the shipped guards were trained with, in which nothing was planted: what is found there is a false alarm or
an example that really has an address or a number in it, so the rates are upper bounds. No threshold is chosen by them.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.detector_texts import NOTHING, SEED, Sample, samples
from guards.registry import build
from guards.rules.base import RuleGuard
from guards.rules.contextual import ContextualGuard
from guards.verdict import NO_CONTEXT, Context, Part, Scope, Verdict

TEXTS: Final = Path(__file__).parents[1] / "guards" / "starter" / "train" / "texts"
HAND_WRITTEN: Final = Path(__file__).parent / "quality" / "identifiers.jsonl"
SECOND: Final = HAND_WRITTEN.with_name("identifiers_2.jsonl")
UNSEEN: Final = HAND_WRITTEN.with_name("identifiers_unseen.jsonl")
"""Written after the patterns; nothing was changed for them."""
SECRETS: Final = HAND_WRITTEN.with_name("secrets.jsonl")
ORDINARY: Final = ("hazard_safe", "injection_benign", "ordinary_languages", "ordinary_tasks")
LENGTHS: Final = (20, 40, 80, 200, 100_000)
LOOKALIKES: Final = str.maketrans("aeopcxyi", "аеорсхуі")
ALLOWED, EVIL = "img.example.com", "evil.test"
WAYS: Final = (
    "![x](https://{}/a.png?q=1)",
    "[read](https://{}/x)",
    "[read](//{}/x)",
    "[r]: https://{}/a\n\n![x][r]",
    "<https://{}/x>",
    "<img src=https://{}/x>",
    "<IMG SRC = 'https://{}/x'>",
    '<a href="ht\ntps://{}/">x</a>',
    '<img src="&#104;ttps://{}/x">',
    '<img srcset="https://{}/a 1x">',
    "<style>a{{background:url(https://{}/x)}}</style>",
    '@import "https://{}/x.css"',
    "see https://{}/x.",
    "HTTPS://{}/",
    "https:\\\\{}\\x",
    "https:{}/x",
    '<meta http-equiv="refresh" content="0; url=https://{}">',
    "ｈｔｔｐｓ：//{}/x",
    "[x](https://user:pw@{}/)",
    "[x]( <https://{}/> 'title')",
    "wss://{}/socket",
    "go to {} and read",
    "h t t p s : / / {} / x",
)
"""Ways of writing an address. The last two are read by people only."""


@dataclass(frozen=True, slots=True)
class Ordinary:
    """A text in which nothing was planted."""

    text: str
    lang: str


def spans_of(guard: RuleGuard, text: str, context: Context = NO_CONTEXT, path: str = "/messages/0/content") -> Verdict:
    part = Part(Scope.OUTPUT, path, "user", text)
    if isinstance(guard, ContextualGuard):
        return guard._judged([part], context)[0]
    return guard.judge_now([part])[0]


def rule(use: str, **options: object) -> RuleGuard:
    guard = build(use, options, {})
    assert isinstance(guard, RuleGuard)
    return guard


def ordinary(folder: Path | None) -> list[Ordinary]:
    rows = [json.loads(line) for name in ORDINARY for line in (TEXTS / f"{name}.jsonl").open(encoding="utf-8")]
    for file in sorted(folder.glob("*_dev.jsonl.gz")) if folder else ():
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            rows += [row for row in map(json.loads, lines) if row.get("label") == 0]
    return [Ordinary(row["text"], row.get("lang", "")) for row in rows]


def table(title: str, head: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    print(f"\n## {title}\n")
    for line in (head, ["---"] * len(head), *lines):
        print("| " + " | ".join(map(str, line)) + " |")


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def entities(texts: Sequence[Ordinary]) -> Iterator[tuple[object, ...]]:
    guard = rule("entities")
    asked, whole, partly, told, right = (Counter[str]() for _ in range(5))
    for sample in samples():
        found = [(span.label, sample.text[span.start : span.end]) for span in spans_of(guard, sample.text).spans]
        asked[sample.label] += 1
        own = [value for label, value in found if label == sample.label]
        whole[sample.label] += any(sample.value in value for value in own)
        partly[sample.label] += any(_overlap(sample, value) for value in own)
        told.update(label for label, _ in found)
        right.update(label for label, value in found if label == sample.label and _overlap(sample, value))
    alarms = Counter(label for text in texts for label in {span.label for span in spans_of(guard, text.text).spans})
    for label in sorted(set(asked) - {""}):
        scores = share(whole[label], asked[label]), share(partly[label], asked[label]), share(right[label], told[label])
        yield label, asked[label], *scores, alarms[label]


def hand_written() -> Iterator[tuple[object, ...]]:
    """As people type: abbreviated, in a form, dictated. One identifier each; some can be found by nobody's pattern."""
    guard = rule("entities")
    for file in (HAND_WRITTEN, SECOND, UNSEEN):
        read = map(json.loads, file.open(encoding="utf-8"))
        rows = [Sample(row["text"], row["label"], row["value"]) for row in read]
        whole, partly, missed = 0, 0, Counter[str]()
        for row in rows:
            spans = spans_of(guard, row.text).spans
            own = [row.text[span.start : span.end] for span in spans if span.label == row.label]
            whole += (is_whole := any(row.value in value for value in own))
            partly += any(_overlap(row, value) for value in own)
            missed.update(() if is_whole else (row.label,))
        told = ", ".join(f"{label} {count}" for label, count in sorted(missed.items()))
        yield file.stem, len(rows), share(whole, len(rows)), share(partly, len(rows)), told


def secrets() -> Iterator[tuple[object, ...]]:
    guard, rng = rule("secrets"), random.Random(SEED)
    held: list[bool] = []
    wrong: list[bool] = []
    for row in map(json.loads, SECRETS.open(encoding="utf-8")):
        value = _drawn(row["value"], rng)
        text = row["text"].replace("{}", value) if value else row["text"]
        found = [text[span.start : span.end] for span in spans_of(guard, text).spans]
        (held if value else wrong).append(any(value in one or one in value for one in found) if value else bool(found))
    yield len(held), share(sum(held), len(held)), len(wrong), share(sum(wrong), len(wrong))


def _drawn(value: str, rng: random.Random) -> str:
    """`<36>` is that many letters and digits: no key lies in the repository, not even one that opens nothing."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" + ("" if value.startswith("AKIA") else "abcdefghijklmnopqrstuvwxyz")
    return re.sub("<([0-9]+)>", lambda size: "".join(rng.choices(letters, k=int(size[1]))), value)


def _overlap(sample: Sample, value: str) -> bool:
    return value in sample.value or sample.value in value


def alarms(texts: Sequence[Ordinary]) -> Iterator[tuple[object, ...]]:
    for name, guard in {
        "secrets": rule("secrets"),
        "unicode": rule("unicode"),
        "unicode, homoglyph": rule("unicode", find=["homoglyph"]),
        "special_tokens": rule("special_tokens"),
        "exfiltration, no host allowed": rule("exfiltration"),
        "repetition": rule("repetition"),
        "terms, 1,000 made-up names": rule("terms", words=_names()),
    }.items():
        count = sum(bool(spans_of(guard, text.text).spans) for text in texts)
        yield name, count, share(count, len(texts))


def _names() -> list[str]:
    rng = random.Random(SEED)
    syllables = ["ka", "ro", "min", "tel", "va", "xo", "dra", "lun", "pe", "zi"]
    return [
        "".join(rng.choices(syllables, k=3)).title() + " " + "".join(rng.choices(syllables, k=2)) for _ in range(1000)
    ]


def exfiltration() -> Iterator[tuple[object, ...]]:
    guard = rule("exfiltration", hosts=[ALLOWED])
    found = [bool(spans_of(guard, way.replace("{}", EVIL)).spans) for way in WAYS]
    wrong = [bool(spans_of(guard, way.replace("{}", ALLOWED)).spans) for way in WAYS]
    yield (
        "a host that is not allowed",
        len(WAYS),
        sum(found),
        ", ".join(w for w, hit in zip(WAYS, found, strict=True) if not hit),
    )
    yield "an allowed host", len(WAYS), sum(wrong), ", ".join(w for w, hit in zip(WAYS, wrong, strict=True) if hit)
    kept = [text for text in NOTHING if spans_of(guard, text).spans]
    yield "no address", len(NOTHING), len(kept), ", ".join(kept)


def language(texts: Sequence[Ordinary]) -> Iterator[tuple[object, ...]]:
    guard, low = rule("language"), 0
    for high in LENGTHS:
        rows = [text for text in texts if text.lang and low <= len(text.text) < high]
        said = [([code for code, _ in spans_of(guard, row.text).categories], row.lang) for row in rows]
        right = sum(codes == [lang] for codes, lang in said)
        unknown = sum(codes == ["unknown"] for codes, _ in said)
        more = sum(lang in codes and len(codes) > 1 for codes, lang in said)
        wrong = len(said) - right - unknown - more
        name = f"{low} to {high - 1}" if high < LENGTHS[-1] else f"{low} and more"
        yield (
            name,
            len(rows),
            share(right, len(rows)),
            share(unknown, len(rows)),
            share(more, len(rows)),
            share(wrong, len(rows)),
        )
        low = high


def prompt_leak(texts: Sequence[Ordinary]) -> Iterator[tuple[object, ...]]:
    guard, rng = rule("prompt_leak"), random.Random(SEED)
    long = [text.text for text in texts if text.lang == "en" and 18 <= len(text.text.split()) <= 120]
    prompts, answers = long, long[len(long) // 2 :] + long[: len(long) // 2]  # neighbours are of one template
    disguises: dict[str, Callable[[str], str]] = {
        "word for word": lambda text: f"My instructions are: {text}",
        "in capitals, without punctuation": lambda text: "".join(c for c in text.upper() if c.isalnum() or c == " "),
        "the first half": lambda text: " ".join(text.split()[: len(text.split()) // 2 + 1]),
        "one word in ten replaced": lambda text: _replaced(text, 10, rng),
        "one word in five replaced": lambda text: _replaced(text, 5, rng),
        "letter by letter": lambda text: " ".join(text),
        "in Base64": lambda text: base64.b64encode(text.encode()).decode(),
        "words backwards": lambda text: " ".join(reversed(text.split())),
    }
    for name, disguise in disguises.items():
        count = sum(_leaks(guard, prompt, disguise(prompt)) for prompt in prompts)
        yield name, len(prompts), share(count, len(prompts))
    count = sum(_leaks(guard, prompt, answer) for prompt, answer in zip(prompts, answers, strict=False))
    yield "another text (false alarms)", len(answers), share(count, len(answers))


def _replaced(text: str, every: int, rng: random.Random) -> str:
    words = text.split()
    start = rng.randrange(every)
    return " ".join("thing" if at % every == start else word for at, word in enumerate(words))


def _leaks(guard: RuleGuard, prompt: str, answer: str) -> bool:
    context = Context.of([Part(Scope.SYSTEM, "/messages/0/content", "system", prompt)])
    return bool(spans_of(guard, answer, context, "/choices/0/message/content").spans)


def disguised(texts: Sequence[Ordinary]) -> Iterator[tuple[object, ...]]:
    rng = random.Random(SEED)
    english = [text.text for text in texts if text.lang == "en" and len(text.text.split()) > 8][:300]
    alike, loop, names = rule("unicode", find=["homoglyph"]), rule("repetition"), _names()[:300]
    listed = rule("terms", words=_names())
    made: dict[str, tuple[RuleGuard, list[str]]] = {
        "homoglyph: every letter that has a look-alike": (alike, [text.translate(LOOKALIKES) for text in english]),
        "homoglyph: one word of the text": (alike, [_one_word(text, rng) for text in english]),
        "homoglyph: one letter of the text": (alike, [_one_letter(text, rng) for text in english]),
        "terms: as listed": (listed, [f"what of {name} now" for name in names]),
        "terms: capitals and a hyphen": (listed, [f"what of {name.upper().replace(' ', '-')}?" for name in names]),
        "terms: accents": (listed, ["what of " + name.replace("a", "á").replace("o", "ö") + " now" for name in names]),
        "terms: a zero-width space inside": (listed, [f"what of {name[:3]}\u200b{name[3:]} now" for name in names]),
        "terms: a letter left out": (listed, [f"what of {name[:3]}{name[4:]} now" for name in names]),
        "repetition: a sentence 12 times": (loop, [" ".join([text] * 12) for text in english]),
        "repetition: its last three words 12 times": (
            loop,
            [text + " ".join([""] + text.split()[-3:] * 12) for text in english],
        ),
        "repetition: a sentence 3 times": (loop, [" ".join([text] * 3) for text in english]),
    }
    for name, (guard, changed) in made.items():
        count = sum(bool(spans_of(guard, text).spans) for text in changed)
        yield name, len(changed), share(count, len(changed))


def _one_word(text: str, rng: random.Random) -> str:
    words = text.split()
    at = rng.choice([at for at, word in enumerate(words) if len(word) > 3] or [0])
    return " ".join(word.translate(LOOKALIKES) if n == at else word for n, word in enumerate(words))


def _one_letter(text: str, rng: random.Random) -> str:
    at = rng.choice([at for at, char in enumerate(text) if char in "aeopcxyi"])
    return text[:at] + text[at].translate(LOOKALIKES) + text[at + 1 :]


def speed(texts: Sequence[Ordinary]) -> Iterator[tuple[object, ...]]:
    """Wall time of one thread, best of three, on the ordinary texts and on the made ones."""
    plain, full = [text.text for text in texts[:1_000]], [sample.text for sample in samples()]
    for use, options in {
        "entities": {}, "secrets": {}, "unicode": {}, "exfiltration": {}, "terms": {"words": _names()},
        "near": {"term": "cvv", "value": "[0-9]{3}", "within": 24}, "repetition": {}, "size": {"words": 500},
        "language": {},
    }.items():  # fmt: skip
        guard = rule(use, **options)
        yield use, *(f"{_microseconds(guard, some):.0f}" for some in (plain, full))


def _microseconds(guard: RuleGuard, texts: Sequence[str]) -> float:
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for text in texts:
            spans_of(guard, text)
        best = min(best, time.perf_counter() - started)
    return best * 1e6 / (sum(map(len, texts)) / 1_000)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="a folder with more ordinary texts")
    texts = ordinary(parser.parse_args(arguments).data)
    print(f"{len(texts)} ordinary texts, {sum(len(text.text) for text in texts)} characters")
    head = ["entity", "texts", "found whole", "found in part", "precision", "ordinary texts with one"]
    table("entities", head, entities(texts))
    head = ["file", "texts", "found whole", "found in part", "not found whole"]
    table("entities, written by hand", head, hand_written())
    table("secrets, written by hand", ["texts", "found", "texts without one", "false alarms"], secrets())
    table("exfiltration", ["address of", "ways", "found", "which are wrong"], exfiltration())
    table("language", ["characters", "texts", "right", "unknown", "right and another", "wrong"], language(texts))
    table("prompt_leak, 8 words", ["the prompt", "answers", "found"], prompt_leak(texts))
    table("disguises", ["made", "texts", "found"], disguised(texts))
    table("ordinary texts in which something is found", ["detector", "texts", "share"], alarms(texts))
    table("µs for 1,000 characters", ["detector", "ordinary texts", "texts full of identifiers"], speed(texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
