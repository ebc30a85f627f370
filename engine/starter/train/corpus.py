"""The written corpus: intents, off-topic prompts, tools, system prompts, and the split into trained and held out.

The split is a function of the text alone, so that nobody can move a prompt across it by reordering a file.
Prompts that differ only in case or punctuation count as one: a held-out prompt has no such twin in training.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

HERE = Path(__file__).parent
HELD_OUT_SHARE, LATER_SHARE = 0.15, 0.12
SALT = "2026-11-21"
"""Chosen anew after the patterns were written, so that they were not written for the prompts they are measured on."""

FALLBACK = (
    "I am only the starter engine that ships with Gatehouse for trial, and I cannot answer that. "
    "Point Gatehouse at a real model to get an answer."
)

PUBLIC_SOURCES = frozenset(
    [
        "clinc150",
        "banking77",
        "gsm8k",
        "certified_safe",
        "oasst_samples",
        "gpteacher_roleplay",
        "gpteacher_code",
        "gpteacher_tool",
        "bfcl",
        "awesome_prompts",
        "fuzzyai_benign",
        "ui_strings",
    ]
)
"""Openly licensed prompts without share-alike terms; they teach the fallback and are never committed."""

HARMFUL_SOURCES = frozenset(["advbench", "harmbench", "catqa", "dangerousqa"])
"""Openly licensed harmful requests; they teach the refusal and are never committed."""

HELD_OUT_SOURCE = "self_instruct"
"""Measures the fallback. Nothing of it is trained on."""

_TALKS_TO_THE_ASSISTANT = re.compile(
    r"\b(you|your|yourself|ur|u|thanks?|hello|hi|hey|bye|goodbye|yes|no|ok|okay|ai|bot|test)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing the starter can answer."""

    id: str
    answer: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    patterns: tuple[tuple[str, ...], ...] = ()
    """Further trained prompts, one group for each line of `patterns/`; none of them is a held-out one."""
    held_out_later: tuple[str, ...] = ()
    """Held out of `more/`, which was written after the first weights were measured, in moods they had not seen."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool the starter was shown in training, and the sentences that ask for it."""

    name: str
    argument: str
    descriptions: tuple[str, ...]
    ask: tuple[str, ...]
    values: tuple[str, ...]


@cache
def load_intents() -> tuple[Intent, ...]:
    """All intents, each with its prompts split."""
    intents = []
    seen: dict[str, str] = {}
    for path in sorted((HERE / "intents").glob("*.yaml")):
        for row in yaml.safe_load(path.read_text()):
            prompts: dict[str, str] = {}
            for line in row["ask"].splitlines():
                key = bare(line)
                if seen.setdefault(key, row["id"]) != row["id"]:
                    raise ValueError(f"{path.name}: a prompt of `{row['id']}` is also in `{seen[key]}`")
                prompts.setdefault(key, line)
            trained, held_out = split(row["id"], prompts, HELD_OUT_SHARE)
            intents.append(Intent(row["id"], row["answer"], trained, held_out))
    taken = {**seen, **{bare(p): "" for name in ("offtopic.txt", "holdout_offtopic.txt") for p in lines(name)}}
    taken |= {bare(p): "" for intent in intents for p in intent.held_out}
    patterns = load_patterns(taken, "patterns")
    known = frozenset(taken)
    more = load_patterns(taken, "more")
    if unknown := (set(patterns) | set(more)) - {intent.id for intent in intents}:
        raise ValueError(f"more ways to ask for unknown intents: {sorted(unknown)}")
    return tuple(
        with_more(replace(intent, patterns=patterns.get(intent.id, ())), more.get(intent.id, ()), known)
        for intent in intents
    )


def with_more(intent: Intent, groups: Sequence[Sequence[str]], known: frozenset[str]) -> Intent:
    """The intent with the prompts of `more/` that are new, a share of them held out."""
    prompts = {bare(prompt): prompt for group in groups for prompt in group if bare(prompt) not in known}
    trained, later = split(intent.id, prompts, LATER_SHARE)
    return replace(intent, trained=(*intent.trained, *trained), held_out_later=later)


def load_patterns(taken: dict[str, str], folder: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """What the lines of a folder stand for, without prompts that `taken` gives to another intent or to nobody."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    intent = ""
    for path in sorted((HERE / folder).glob("*.txt")):
        for line in path.read_text().splitlines():
            if line.startswith("["):
                intent = line.strip("[]")
            elif line and not line.startswith("#"):
                prompts = {bare(p): p for p in expand(line)}
                found[intent].append(tuple(p for key, p in prompts.items() if taken.setdefault(key, intent) == intent))
    return {intent: tuple(group for group in groups if group) for intent, groups in found.items()}


def offtopic_patterns() -> tuple[tuple[str, ...], ...]:
    """What the lines of `offtopic_patterns.txt` stand for, without held-out prompts and those of intents."""
    taken = {bare(prompt) for prompt in lines("holdout_offtopic.txt")}
    for intent in load_intents():
        taken.update(
            bare(p)
            for group in (intent.trained, intent.held_out, intent.held_out_later, *intent.patterns)
            for p in group
        )
    return tuple(tuple(p for p in expand(line) if bare(p) not in taken) for line in lines("offtopic_patterns.txt"))


def expand(line: str) -> Iterator[str]:
    """Every prompt that a line with `(this|or that)` stands for."""
    pieces = [piece.split("|") for piece in re.split(r"[()]", line)]
    return (" ".join("".join(choice).split()) for choice in itertools.product(*pieces))


def split(intent: str, prompts: dict[str, str], share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The held-out share is those whose digest is smallest."""
    order = sorted(prompts, key=lambda key: hashlib.sha256(f"{SALT}\n{intent}\n{key}".encode()).digest())
    count = round(len(order) * share)
    return tuple(prompts[key] for key in order[count:]), tuple(prompts[key] for key in order[:count])


def bare(text: str) -> str:
    """A prompt without what typing habits change."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split()) or text


def lines(name: str) -> tuple[str, ...]:
    """The lines of a text file of the corpus, without comments."""
    return tuple(line for line in (HERE / name).read_text().splitlines() if line and not line.startswith("# "))


def load_tools() -> tuple[tuple[Tool, ...], str]:
    """The tools, and what the starter says after a tool has answered."""
    raw = yaml.safe_load((HERE / "tools.yaml").read_text())
    tools = tuple(
        Tool(name, row["argument"], tuple(row["descriptions"]), tuple(row["ask"]), tuple(row["values"]))
        for name, row in raw["tools"].items()
    )
    return tools, raw["answer_after_result"]


def public_prompts(
    folder: Path, sources: frozenset[str], known: Sequence[Intent], *, safe: bool = True
) -> Iterator[str]:
    """Off-topic prompts from public data in `folder`; those that talk to the assistant itself are left out.

    Rows are JSON objects with `text` and `source`, and `role` where the file has both sides of a chat.
    """
    own = {bare(prompt) for intent in known for prompt in (*intent.trained, *intent.held_out, *intent.held_out_later)}
    seen: set[str] = set()
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            for row in map(json.loads, rows):
                text = row["text"].strip()
                key = bare(text)
                if (
                    row["source"] not in sources
                    or row.get("role", "user") != "user"
                    or row.get("safe", True) is not safe
                ):
                    continue
                if key in seen or key in own or (len(key.split()) < 12 and _TALKS_TO_THE_ASSISTANT.search(key)):
                    continue
                seen.add(key)
                yield text


def sample_public(folder: Path, known: Sequence[Intent], count: int, seed: int, *, safe: bool = True) -> list[str]:
    """A seeded sample of the prompts for the fallback, or of those for the refusal."""
    prompts = sorted(public_prompts(folder, PUBLIC_SOURCES if safe else HARMFUL_SOURCES, known, safe=safe))
    random.Random(seed).shuffle(prompts)
    return prompts[:count]
