"""What of a record can be searched: its names, codes, ids and scores, each under a heading.

A record of a type that nobody thought of here is indexed as well: whatever short names and ids it holds can be found,
without a heading. Digests, keyed hashes and signatures are left out, as nobody searches for one by its beginning and
each would be a word of its own. Records hold no text of a prompt or an answer, so neither does what is made from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final

EXACT: Final = ("type", "tenant", "app", "actor", "model", "action", "code", "policy")
"""Headings with one value in a record."""
COLUMNS: Final = (*EXACT, "rule", "score", "other")
"""Headings of the words, in the order of the index."""
BUCKET_PPM: Final = 10_000
BUCKETS: Final = 101
"""Scores are words by hundredths, so that a search for high ones need not look at the low ones."""
_TOKEN: Final = re.compile(r"[0-9A-Za-z_\-/.:@\x80-\U0010ffff]+")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LONGEST: Final = 100
_DEEPEST: Final = 6
_ELSEWHERE: Final = frozenset(
    ("v", "seq", "ts", "mono", "prev", "boot", "origin", "inst", "type", "tenant", "app", "req", "guards", "rows",
     "coverage", "digest", "transform", "http")
)  # fmt: skip
"""Of a record: what has a heading, a column of its own, or nothing that anybody searches for."""
_MEANINGLESS: Final = re.compile(r"(.*(_digest|_hmac|sha256|root|proof|sig|leaf|hash)|digest|asks)\Z")


@dataclass(frozen=True, slots=True)
class Indexed:
    """A record as the index keeps it."""

    seq: int
    ts: int
    req: str | None
    exact: tuple[str | None, ...]
    """Values under EXACT."""
    rules: tuple[str, ...]
    scores: tuple[tuple[str, int], ...]
    """(detector, its highest score in ppm), where it found anything."""
    other: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        """The words under each of COLUMNS."""
        scores = (score_word(name, ppm // BUCKET_PPM) for name, ppm in self.scores)
        return (*(value or "" for value in self.exact), *map(" ".join, (self.rules, scores, self.other)))


def indexed(record: dict[str, Any]) -> Indexed | None:
    """None for a line that is no record with a number: that is for `audit verify` to say."""
    seq, ts = record.get("seq"), str(record.get("ts", ""))
    if type(seq) is not int or not 0 <= seq < 2**53:
        return None
    decision, target, policy, actor = (as_object(record.get(key)) for key in ("decision", "target", "policy", "actor"))
    code = decision.get("code") or as_object(record.get("err")).get("code")
    exact = (record.get("type"), record.get("tenant"), record.get("app"), actor.get("key_id"), target.get("model_req"),
             decision.get("action"), code, policy.get("name"))  # fmt: skip
    return Indexed(
        seq,
        int(ts) if ts.isascii() and ts.isdigit() and len(ts) <= 19 else 0,
        _text(record.get("req")),
        tuple(map(_text, exact)),
        tuple(dict.fromkeys(str(rule) for rule in as_list(decision.get("rules")))),
        tuple(_scores(record).items()),
        tuple(dict.fromkeys(word for word in _others(record, decision) if word)),
    )


def tokens(text: str) -> list[str]:
    """The words that the index makes of a text; its tokenizer parts at the same characters."""
    return _TOKEN.findall(text)


def score_word(detector: str, bucket: int) -> str:
    return f"{'_'.join(tokens(detector))}:{bucket:03d}"


def _others(record: dict[str, Any], decision: dict[str, Any]) -> Iterator[str]:
    for key, of in (("flags", "rule"), ("shadow", "rule"), ("errors", "detector"), ("errors", "kind")):
        for item in as_list(decision.get(key)):
            yield str(as_object(item).get(of, ""))
    yield _text(decision.get("outcome")) or ""
    for guard in map(as_object, as_list(record.get("guards"))):
        yield from (str(guard.get("name") or ""), str(guard.get("use") or ""), *_categories(guard))
    for key, value in record.items():
        if key not in _ELSEWHERE and key != "decision":
            yield from _names(key, value, 0)


def _names(key: str, value: object, depth: int) -> Iterator[str]:
    """Short texts anywhere in a value, but no digests."""
    if isinstance(value, str):
        if len(value) <= _LONGEST and not _MEANINGLESS.match(key):
            yield value
    elif depth < _DEEPEST and isinstance(value, dict):
        for name, item in value.items():
            yield from _names(name, item, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list):
        for item in value:
            yield from _names(key, item, depth + 1)


def _categories(guard: dict[str, Any]) -> Iterator[str]:
    """Hazard codes whose score reached the detector's threshold, and error kinds."""
    limit = guard.get("threshold_ppm")
    for row in map(as_object, as_list(guard.get("rows"))):
        if row.get("error"):
            yield str(row["error"])
        for entry in as_list(row.get("cats")):
            code, score = entry if isinstance(entry, list) and len(entry) == 2 else ("", None)
            if isinstance(limit, int) and type(score) is int and score >= limit:
                yield str(code)


def _scores(record: dict[str, Any]) -> dict[str, int]:
    """The highest score of each detector in a record, where it found anything."""
    best: dict[str, int] = {}
    for guard in map(as_object, as_list(record.get("guards"))):
        name = str(guard.get("name", ""))
        scores = (row.get("score_ppm") for row in map(as_object, as_list(guard.get("rows"))))
        found = max((score for score in scores if type(score) is int and score <= 10**6), default=0)
        if found > best.get(name, 0):
            best[name] = found
    return best


def as_object(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one: records of any shape can be read."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def day_of(ts: int) -> str:
    """The UTC day, as `2026-11-20`, from nanoseconds; days are what counts are kept by."""
    return _day(ts // (86_400 * 10**9))


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return date.fromordinal(_EPOCH + number).isoformat()


def tallied(item: Indexed) -> Iterable[tuple[str, str]]:
    """(heading, value) for everything that is counted by day."""
    yield "day", ""
    for heading, value in zip(EXACT, item.exact, strict=True):
        if value is not None:
            yield heading, value
    for rule in item.rules:
        yield "rule", rule
    for detector, _ in item.scores:
        yield "detector", detector
