"""A record as the export formats look at it: the fields they map, of the right type or absent.

Every record can be viewed, also one of a type that this version does not know. Nothing here can hold text of a prompt
or an answer, since records hold none; a field that is not named here is in no export but `jsonl`, which is the stored
lines themselves.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

from gateway.audit.index_fields import as_list, as_object
from gateway.audit.merkle import leaf_hash
from gateway.audit.report import iso

VENDOR: Final = "Gatehouse"
PRODUCT: Final = "Gatehouse"


class Severity(IntEnum):
    """How much a record asks for attention; each format has its own numbers for these."""

    INFORMATION = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


_SEVERITIES: Final[Mapping[str, Severity]] = {
    "auth.fail": Severity.MEDIUM,
    "audit.fail": Severity.HIGH,
    "audit.recover": Severity.MEDIUM,
    "audit.adopt": Severity.HIGH,
    "audit.sink_down": Severity.HIGH,
    "audit.reserve_low": Severity.HIGH,
    "audit.head_store": Severity.MEDIUM,
    "clock.step": Severity.MEDIUM,
    "content.erase": Severity.LOW,
    "content.export": Severity.LOW,
    "content.read": Severity.LOW,
    "guard.down": Severity.MEDIUM,
    "hold.release": Severity.LOW,
    "policy.reject": Severity.MEDIUM,
    "policy.rollback": Severity.MEDIUM,
    "protocol.refuse": Severity.LOW,
    "response.orphan": Severity.MEDIUM,
}


@dataclass(frozen=True, slots=True)
class Score:
    """What one detector said of one part."""

    detector: str
    use: str
    part: str
    scope: str
    score_ppm: int | None
    """None where there is no verdict."""
    threshold_ppm: int | None
    error: str
    categories: tuple[tuple[str, int], ...]

    @property
    def is_flagged(self) -> bool:
        return self.score_ppm is not None and self.threshold_ppm is not None and self.score_ppm >= self.threshold_ppm


class View:
    """One record and the bytes it was stored as."""

    def __init__(self, record: Mapping[str, Any], raw: bytes) -> None:
        self.record, self.raw = record, raw

    def text(self, *path: str) -> str:
        """The string under these keys; empty if there is none."""
        value = self._at(path)
        return value if isinstance(value, str) else ""

    def number(self, *path: str) -> int | None:
        value = self._at(path)
        return value if type(value) is int else None

    def listed(self, *path: str) -> list[Any]:
        return as_list(self._at(path))

    def _at(self, path: tuple[str, ...]) -> object:
        value: object = self.record
        for key in path:
            value = as_object(value).get(key)
        return value

    @property
    def seq(self) -> int:
        return self.number("seq") or 0

    @property
    def ts_ns(self) -> int:
        text = self.text("ts")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0

    @property
    def time(self) -> str:
        return iso(self.ts_ns)

    @property
    def type(self) -> str:
        return self.text("type")

    @property
    def origin(self) -> str:
        return self.text("origin")

    @property
    def uid(self) -> str:
        """Names the record in all logs."""
        return f"{self.origin}/{self.seq}"

    @property
    def leaf(self) -> str:
        """Base64 of the record's leaf in the log's tree: with it the export can be compared with the log."""
        return b64encode(leaf_hash(self.raw)).decode()

    @property
    def who(self) -> str:
        """The key or the operator on whose behalf it happened."""
        return self.text("actor", "key_id") or self.text("actor", "sub")

    @property
    def action(self) -> str:
        return self.text("decision", "action")

    @property
    def outcome(self) -> str:
        return self.text("decision", "outcome")

    @property
    def code(self) -> str:
        return self.text("decision", "code") or self.text("err", "code")

    @property
    def model(self) -> str:
        """The model that answered, or was asked for."""
        return self.text("target", "model_served") or self.text("target", "model_req")

    @property
    def policy_digest(self) -> str:
        return self.text("policy", "compiled_digest")

    @cached_property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule for rule in self.listed("decision", "rules") if isinstance(rule, str))

    @cached_property
    def flags(self) -> tuple[str, ...]:
        flags = (as_object(flag).get("rule") for flag in self.listed("decision", "flags"))
        return tuple(rule for rule in flags if isinstance(rule, str))

    @property
    def tokens_in(self) -> int | None:
        return self.number("usage", "prompt_tokens")

    @property
    def tokens_out(self) -> int | None:
        return self.number("usage", "completion_tokens")

    @property
    def is_decision(self) -> bool:
        """Whether a policy decided over parts of a request or an answer."""
        return "guards" in self.record and bool(self.action)

    @property
    def is_finding(self) -> bool:
        """Whether a rule stopped, changed or flagged something, or would have if it were not a shadow."""
        shadow = self.listed("decision", "shadow")
        return self.is_decision and (self.outcome in ("block", "modified") or bool(self.flags or shadow))

    @property
    def severity(self) -> Severity:
        if self.outcome == "block" and self.is_decision:
            return Severity.HIGH
        if self.outcome == "modified" or self.flags:
            return Severity.MEDIUM
        if self.outcome in ("block", "error"):
            return Severity.LOW
        return _SEVERITIES.get(self.type, Severity.INFORMATION)

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """What each detector said of each part that it found something in, or failed on."""
        return tuple(self._scores())

    def _scores(self) -> Iterator[Score]:
        for guard in map(as_object, self.listed("guards")):
            for row in map(as_object, as_list(guard.get("rows"))):
                yield _score(guard, row)
        for row in map(as_object, self.listed("rows")):
            yield _score({"name": row.get("detector")}, row)

    @property
    def highest(self) -> dict[str, int]:
        """The highest score of each detector that found something, in ppm."""
        best: dict[str, int] = {}
        for score in self.scores:
            if score.score_ppm is not None and score.score_ppm >= best.get(score.detector, 1):
                best[score.detector] = score.score_ppm
        return best


def _score(guard: dict[str, Any], row: dict[str, Any]) -> Score:
    pairs = (entry for entry in as_list(row.get("cats")) if isinstance(entry, list) and len(entry) == 2)
    return Score(
        detector=_text(guard.get("name")),
        use=_text(guard.get("use")),
        part=_text(row.get("part")),
        scope=_text(row.get("scope")),
        score_ppm=_number(row.get("score_ppm")) if row.get("outcome") == "ok" else None,
        threshold_ppm=_number(guard.get("threshold_ppm")),
        error=_text(row.get("error")),
        categories=tuple((_text(code), ppm) for code, ppm in pairs if type(ppm) is int),
    )


def printable(text: str) -> str:
    """Characters that end a line or steer a terminal become `?`."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if type(value) is int else None
