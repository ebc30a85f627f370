"""A labelled set, one JSON object a line: read strictly, because a set that is read wrongly measures the wrong thing.

    {"text": "…", "label": 1, "categories": ["S1"], "language": "en", "source": "mine", "role": "user",
     "scope": "user", "turns": [{"role": "user", "text": "…"}]}

`text` is what is judged, `turns` what was said before it. Every line that cannot be used is a problem with its place,
all of them at once, and nothing is measured. A problem never repeats the text. Fields that nobody knows are left
aside and named, unless they look like a slip of the pen for one that is missing.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.errors import BadRequest
from gateway.evaluate.errors import EvaluationError, LinesRefused
from gateway.jsonstrict import Json, loads, name_of
from guards.verdict import Context, Part, Scope, Turn
from policies.errors import did_you_mean

LONGEST_LINE: Final = 32 * 1024 * 1024
_DEPTH: Final = 64
_FIELDS: Final = ("text", "label", "categories", "language", "source", "role", "scope", "turns")
_SCOPES: Final = {
    "user": Scope.USER,
    "assistant": Scope.OUTPUT,
    "tool": Scope.TOOL_RESULT,
    "system": Scope.SYSTEM,
}
_ANSWERED: Final = (None, Scope.OUTPUT, Scope.REASONING, Scope.TOOL_CALL)
ROLES: Final = tuple(_SCOPES)
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One text with its label."""

    line: int
    text: str = field(repr=False)
    label: bool
    """Whether a detector should flag it."""
    categories: tuple[str, ...] = ()
    """What it belongs to, sorted; empty when the set does not say."""
    language: str = ""
    source: str = ""
    role: str = "user"
    turns: tuple[Turn, ...] = field(default=(), repr=False)
    scope: Scope | None = None
    """What part of an exchange it is; None: what its role says."""

    @property
    def _is_answer(self) -> bool:
        return self.role == "assistant" and self.scope in _ANSWERED

    @property
    def part(self) -> Part:
        """The text where the gateway would meet it: the last message of a request, or the answer to one."""
        path = "/choices/0/message/content" if self._is_answer else f"/messages/{len(self.turns)}/content"
        return Part(self.scope or _SCOPES[self.role], path, self.role, self.text)

    @property
    def context(self) -> Context:
        own = () if self._is_answer else (Turn(self.role, f"/messages/{len(self.turns)}", self.text),)
        return Context((*self.turns, *own))


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A file of rows, all of them good."""

    name: str
    digest: str
    """`sha256:…` of the file."""
    rows: tuple[Row, ...]
    ignored: tuple[tuple[str, int], ...] = ()
    """Fields that were left aside, with how many rows have them."""


def read_set(path: Path) -> LabelledSet:
    """Raises EvaluationError for a file that cannot be read, LinesRefused for one that can and should not be used."""
    return _read(numbered_lines(path), path)


def parse_set(data: bytes, path: Path) -> LabelledSet:
    """The same of a file's bytes."""
    return _read(enumerate(io.BytesIO(data), 1), path)


def _read(lines: Iterable[tuple[int, bytes]], path: Path) -> LabelledSet:
    rows: list[Row] = []
    problems: list[tuple[int, str]] = []
    digest, ignored = hashlib.sha256(), Counter[str]()
    for number, raw in lines:
        digest.update(raw)
        if not raw.strip():
            problems.append((number, "the line is empty"))
            continue
        try:
            reader = _Line(parse_line(raw), number)
            rows.append(reader.row())
            ignored.update(reader.unknown())
        except _Problem as exc:
            problems.append((number, str(exc)))
    if not rows and not problems:
        problems.append((1, "the file has no rows"))
    if problems:
        raise LinesRefused(str(path), problems)
    return LabelledSet(path.name, f"sha256:{digest.hexdigest()}", tuple(rows), tuple(sorted(ignored.items())))


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their end. One that is too long stops the reading: it is not a file of this kind."""
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise LinesRefused(str(path), [(number, f"the line has more than {LONGEST_LINE} bytes")])
                yield number, raw
    except OSError as exc:
        raise EvaluationError(f"`{path}` cannot be read: {(exc.strerror or 'unreadable').lower()}") from exc


class _Problem(ValueError):
    """What is wrong with one line, without its text."""


def parse_line(raw: bytes) -> Mapping[str, Json]:
    """One JSON object, as strictly read as a request. Raises ValueError with words that hold no text of the line."""
    try:
        value = loads(raw.rstrip(b"\r\n"), max_depth=_DEPTH)
    except BadRequest as exc:
        raise _Problem(exc.message.replace("the body", "the line")) from None
    if not isinstance(value, dict):
        raise _Problem(f"found {kind_of(value)}, expected an object with `text` and `label`")
    return value


def kind_of(value: Json) -> str:
    """The type of a value in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


class _Line:
    """The fields of one row."""

    def __init__(self, fields: Mapping[str, Json], number: int) -> None:
        self._fields, self._number = fields, number

    def row(self) -> Row:
        self._refuse_slips()
        role = self._name("role") or "user"
        if role not in _SCOPES:
            raise _Problem(f"`role` is not one of {', '.join(_SCOPES)}")
        return Row(
            line=self._number,
            text=self._text(self._fields, "`text`"),
            label=self._label(),
            categories=self._categories(),
            language=self._name("language"),
            source=self._name("source"),
            role=role,
            turns=self._turns(),
            scope=self._scope(),
        )

    def unknown(self) -> list[str]:
        """Safe to print: a name that is not is described."""
        return [name_of(key) for key in self._fields if key not in _FIELDS]

    def _refuse_slips(self) -> None:
        missing = [name for name in _FIELDS if name not in self._fields]
        for key in self._fields:
            if key not in _FIELDS and (hint := did_you_mean(key, missing)):
                raise _Problem(f"unknown field {name_of(key)} ({hint})")

    def _text(self, fields: Mapping[str, Json], what: str) -> str:
        value = fields.get("text")
        if isinstance(value, str):
            return value
        raise _Problem(f"{what} is {'missing' if 'text' not in fields else kind_of(value)}, expected a string")

    def _label(self) -> bool:
        value = self._fields.get("label")
        if isinstance(value, bool) or (type(value) is int and value in (0, 1)):
            return bool(value)
        found = "missing" if "label" not in self._fields else kind_of(value)
        raise _Problem(f"`label` is {found}, expected 0, 1, true or false")

    def _categories(self) -> tuple[str, ...]:
        value = self._fields.get("categories")
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and _is_name(item) for item in value):
            raise _Problem("`categories` is not a list of short printable names")
        return tuple(sorted({str(item) for item in value}))

    def _name(self, key: str) -> str:
        """A group of the report. It is printed there, so it has to be fit for that."""
        value = self._fields.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not _is_name(value):
            raise _Problem(f"`{key}` is not a name of 1 to {_LONGEST_NAME} printable characters")
        return value

    def _scope(self) -> Scope | None:
        value = self._fields.get("scope")
        if value is None:
            return None
        if not isinstance(value, str) or value not in set(Scope):
            raise _Problem(f"`scope` is not one of {', '.join(Scope)}")
        return Scope(value)

    def _turns(self) -> tuple[Turn, ...]:
        value = self._fields.get("turns")
        if value is None:
            return ()
        if not isinstance(value, list):
            raise _Problem(f"`turns` is {kind_of(value)}, expected a list of turns")
        return tuple(self._turn(turn, index) for index, turn in enumerate(value))

    def _turn(self, value: Json, index: int) -> Turn:
        if not isinstance(value, dict) or set(value) - {"role", "text"}:
            raise _Problem(f"turn {index} is not an object of `role` and `text` alone")
        role = value.get("role")
        if not isinstance(role, str) or role not in _SCOPES:
            raise _Problem(f"`role` of turn {index} is not one of {', '.join(_SCOPES)}")
        return Turn(role, f"/messages/{index}", self._text(value, f"`text` of turn {index}"))


def _is_name(value: str) -> bool:
    return 0 < len(value) <= _LONGEST_NAME and value.isprintable()
