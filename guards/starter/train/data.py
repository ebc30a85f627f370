"""Reads the training text and deals it out, epoch by epoch, in the doses of the recipe.

A row carries what is known about it and nothing that is guessed: an attack has no hazard label, an unsafe text
whose category is unknown has no category labels. The loss skips what is missing. Sources that are kept aside
cannot come out of `training_rows`; that is checked here and not left to the caller.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from guards.starter.train.augment import disguise, embed
from guards.starter.train.recipe import CATEGORIES, OWN_REPEATS, SHARE_ALIKE, UNSEEN, dose

OWN_FILES = (
    "injection_attack",
    "injection_benign",
    "hazard_unsafe",
    "hazard_safe",
    "ordinary_languages",
    "ordinary_tasks",
)
DOCUMENT_SOURCES = frozenset({"tau_bench_tool", "synth_mail", "oasst_samples", "gpteacher_roleplay", "bfcl"})
PLAIN_REQUEST = "plain_request_no_override"
"""Our benign injection text of this kind may well be harmful; it only says that nothing is overridden."""
OWN_KEPT_ASIDE = 10
"""One own text in so many never enters training, so that thresholds meet our hard negatives unseen."""
MIN_LEAK = 20
"""The first line of a text kept aside, inside another text: with fewer characters it is chance, not a leak."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text with what is known about it; None is "not known" and is skipped by the loss."""

    text: str
    source: str
    lang: str
    attack: bool | None = None
    unsafe: bool | None = None
    categories: frozenset[str] | None = None
    trust: float = 1.0
    role: str = "user"

    def __post_init__(self) -> None:
        if self.attack is None and self.unsafe is None:
            raise ValueError(f"row of source `{self.source}` has no label")
        if unknown := (self.categories or frozenset()) - set(CATEGORIES):
            raise ValueError(f"row of source `{self.source}` has categories {sorted(unknown)}, expected S1 to S14")

    @property
    def side(self) -> str:
        """`attack`, `unsafe` or `ordinary`: what the recipe doses by."""
        return "attack" if self.attack else "unsafe" if self.unsafe else "ordinary"


def read_jsonl(path: Path) -> Iterator[dict[str, object]]:
    """Every object of a .jsonl or .jsonl.gz file."""
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
    for line in text.split("\n"):
        if line.strip():
            yield json.loads(line)


def injection_row(found: Mapping[str, object]) -> Row:
    """A row of the injection files."""
    return Row(str(found["text"]), str(found["source"]), str(found["lang"]), attack=bool(found["label"]))


def hazard_row(found: Mapping[str, object]) -> Row:
    """A row of the hazard files. A plain harmful request by a user is no attack on the instructions."""
    safe = bool(found["safe"])
    named = frozenset(str(name) for name in found["categories"])  # type: ignore[attr-defined]
    native = found["label_quality"] == "native"
    role = str(found["role"])
    return Row(
        str(found["text"]),
        str(found["source"]),
        str(found["lang"]),
        attack=False if role == "user" else None,
        unsafe=not safe,
        categories=frozenset() if safe else named or None,
        trust=1.0 if native or safe else 0.8,
        role=role,
    )


def own_row(name: str, found: Mapping[str, object]) -> Row:
    """A row of our own text. Attacks may have any goal, so they say nothing about hazard."""
    text, lang = str(found["text"]), str(found.get("lang", "en"))
    if name == "injection_attack":
        return Row(text, "own", lang, attack=True)
    if name == "hazard_unsafe":
        named = frozenset(str(c) for c in found.get("categories", ()))  # type: ignore[attr-defined]
        return Row(text, "own", lang, attack=False, unsafe=True, categories=named or None)
    if found.get("kind") == PLAIN_REQUEST:
        return Row(text, "own", lang, attack=False)
    return Row(text, "own", lang, attack=False, unsafe=False, categories=frozenset())


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each text: what both tasks know about it, put together."""
    by_text: dict[str, Row] = {}
    for row in rows:
        known = by_text.get(row.text)
        by_text[row.text] = row if known is None else _joined(known, row)
    return list(by_text.values())


def _joined(one: Row, other: Row) -> Row:
    return replace(
        one,
        attack=other.attack if one.attack is None else one.attack,
        unsafe=other.unsafe if one.unsafe is None else one.unsafe,
        categories=other.categories if one.categories is None else one.categories,
    )


def public_rows(data: Path, split: str) -> list[Row]:
    """Both public files of a split (`train` or `dev`), share-alike sources left out."""
    injection = (injection_row(found) for found in read_jsonl(data / f"injection_{split}.jsonl.gz"))
    hazard = (hazard_row(found) for found in read_jsonl(data / f"hazard_{split}.jsonl.gz"))
    return [row for row in merged([*injection, *hazard]) if row.source not in SHARE_ALIKE]


def own_rows(texts: Path, kept_aside: bool = False) -> list[Row]:
    """Our own text, which lies beside this recipe: the part to train on, or the part that is kept aside."""
    rows = merged(own_row(name, found) for name in OWN_FILES for found in read_jsonl(texts / f"{name}.jsonl"))
    return [row for row in rows if is_kept_aside(row.text) is kept_aside]


def is_kept_aside(text: str) -> bool:
    """By the text's digest: stable, whatever is added around it."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % OWN_KEPT_ASIDE == 0


def unseen_rows(data: Path) -> list[Row]:
    """Every row of the sources that never enter training, from both splits."""
    return [row for split in ("train", "dev") for row in public_rows(data, split) if row.source in UNSEEN]


def training_rows(data: Path) -> list[Row]:
    """Public rows to learn from: no source kept aside, and no composite that carries a text kept aside."""
    kept_aside = {row.text.split("\n", 1)[0].strip() for row in unseen_rows(data)}
    kept_aside = {opening for opening in kept_aside if len(opening) >= MIN_LEAK}
    rows = [row for row in public_rows(data, "train") if row.source not in UNSEEN]
    return [row for row in rows if not (row.source.startswith("composite:") and _carries(row.text, kept_aside))]


def _carries(text: str, openings: Iterable[str]) -> bool:
    folded = text.casefold()
    return any(opening.casefold() in folded for opening in openings)


class Deck:
    """Deals epochs: a fresh draw within the doses, fresh disguises, our own text on top when asked for."""

    def __init__(self, rows: Sequence[Row], own: Sequence[Row], seed: int | str) -> None:
        self._own, self._rng = list(own), random.Random(seed)
        self._piles: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            self._piles[row.source, row.side].append(row)
        self._documents = [
            r.text for r in rows if r.source in DOCUMENT_SOURCES and r.side == "ordinary" and len(r.text) > 120
        ]

    def epoch(self, public_share: float = 1.0, own_repeats: int = OWN_REPEATS) -> list[Row]:
        """Rows of one epoch, shuffled and disguised."""
        dealt: list[Row] = []
        for (source, side), pile in sorted(self._piles.items()):
            given = dose(source, side)
            count = min(len(pile), round(given.cap * public_share) or 1)
            dealt += [replace(r, trust=r.trust * given.trust) for r in self._rng.sample(pile, count)]
        for _ in range(own_repeats):
            dealt += self._own
        dealt = [self._dressed(row) for row in dealt]
        self._rng.shuffle(dealt)
        return dealt

    def _dressed(self, row: Row) -> Row:
        short = len(row.text) < 400
        if row.attack and short and self._documents and self._rng.random() < 0.10:
            return replace(row, text=embed(row.text, self._documents, self._rng))
        return replace(row, text=disguise(row.text, self._rng))
