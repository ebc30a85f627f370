"""The checkpoint's own chat template, rendered once for each number of turns and cut where the turns' texts go.

Text of a user never passes through Jinja: the template runs on marks, and the texts are put in their place afterwards.
That is the same only if the template copies its texts (with or without the white space around them), so this is
tried out at start and anything else is refused; so is a template that renders no conversation, as some do when they
get a string in place of typed parts. Jinja runs in its sandbox, with what chat templates are given elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from guards.errors import GuardSetupError
from guards.profiles.generative import Content

MAX_TEMPLATE_CHARS = 256 * 1024
MAX_SHAPES = 256
PROBE = "  \n Is 2 < 3 &amp; {{ 1 }} \\n 'so' \"it\" is?\tÄ 你好 \n "
"""Nothing in it may come out changed, except for the white space at its ends."""
_MARK = re.compile("\ue000(\\d+)\ue001")
"""Stands for the text of a turn, by its number."""


Messages = Callable[[Sequence[str], Mapping[str, object]], list[tuple[str, str]]]
"""(turns, variables) -> (role, text) of each message."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A rendered prompt without its texts: literal, text, literal, …, literal."""

    literals: tuple[str, ...]
    slots: tuple[int, ...]
    """Which turn's text follows each literal but the last."""
    trims: bool
    """Whether the template strips a text."""

    def filled(self, texts: Sequence[str]) -> str:
        """The whole prompt. What is sent is made from the same pieces, see tokens.py."""
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            parts += (self.text(texts[slot]), literal)
        return "".join(parts)

    def text(self, text: str) -> str:
        return text.strip() if self.trims else text


class GuardTemplate:
    """One template, for one guard. `rewrite` gets every rendered prompt, before it is cut."""

    def __init__(
        self,
        guard: str,
        source: str,
        content: Content,
        names: Mapping[str, str],
        rewrite: Callable[[str], str] = lambda prompt: prompt,
        most: int = 0,
        messages: Messages | None = None,
    ) -> None:
        """`names` are the special tokens that templates write by name; `most` is how many turns it shows, 0: all.

        `messages` makes the template's messages of the turns and the variables; without it they are the turns.
        """
        self._guard, self._content, self._names, self._rewrite, self._most = guard, content, dict(names), rewrite, most
        self._messages = messages or _as_turns
        if len(source) > MAX_TEMPLATE_CHARS:
            raise GuardSetupError(guard, f"the template is longer than {MAX_TEMPLATE_CHARS} characters")
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as exc:
            raise GuardSetupError(guard, f"the template cannot be read: {exc}") from exc
        self._shapes: dict[tuple[int, str, bool], Shape] = {}

    def shape(
        self, turns: int, key: str = "", variables: Mapping[str, object] | None = None, has_picture: bool = False
    ) -> Shape:
        """For so many turns, a user first. `key` names the variables, for those that ask one thing a prompt.

        `has_picture`: the last message begins with a picture.
        """
        found = self._shapes.get((turns, key, has_picture))
        if found is None:
            found = self._cut(turns, variables or {}, has_picture)
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()  # not one by one: several threads may be here
            self._shapes[turns, key, has_picture] = found
        return found

    def marks(self, mark: str) -> int:
        """How often the template writes this for a picture."""
        if self._content is not Content.PARTS:
            return 0
        plain, pictured = (self._rendered(["x"], {}, has_picture) for has_picture in (False, True))
        return pictured.count(mark) - plain.count(mark)

    def check(self, key: str = "", variables: Mapping[str, object] | None = None) -> None:
        """What is put together here is what Jinja would make of the texts themselves."""
        for turns in (1, 2) if self._most == 2 else (1, 2, 3):
            texts = [f"{PROBE}{i}{PROBE}" for i in range(turns)]
            ours = self.shape(turns, key, variables).filled(texts)
            if ours != self._rendered(texts, variables or {}):
                raise GuardSetupError(self._guard, "the template does more with a text than copy it")

    def _cut(self, turns: int, variables: Mapping[str, object], has_picture: bool) -> Shape:
        marks = [f"\ue000{i}\ue001" for i in range(turns)]
        trims = self._trims(marks[:2], variables)
        pieces = _MARK.split(self._rendered(marks, variables, has_picture))
        literals, slots = pieces[::2], [int(number) for number in pieces[1::2]]
        if missing := sorted(set(range(turns)) - set(slots)):
            which = "the judged message" if missing[-1] == turns - 1 else f"message {missing[0] + 1} of {turns}"
            raise GuardSetupError(self._guard, f"the template leaves out the text of {which}")
        return Shape(tuple(literals), tuple(slots), trims)

    def _trims(self, marks: Sequence[str], variables: Mapping[str, object]) -> bool:
        spaced = self._rendered([f" {mark} " for mark in marks], variables)
        plain = self._rendered(marks, variables)
        if spaced == plain:
            return any(mark in plain for mark in marks)
        if any(f" {mark} " not in spaced for mark in marks if mark in plain):
            raise GuardSetupError(self._guard, "the template strips some texts and not others")
        return False

    def _rendered(self, texts: Sequence[str], variables: Mapping[str, object], has_picture: bool = False) -> str:
        messages = [{"role": role, "content": self._typed(text)} for role, text in self._messages(texts, variables)]
        if has_picture:
            messages[-1]["content"] = [{"type": "image"}, {"type": "text", "text": texts[-1]}]
        try:
            prompt = self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=True, **self._names, **variables
            )
        # A template is a program of someone else's: whatever it raises, it cannot be used.
        except Exception as exc:
            raise GuardSetupError(self._guard, f"the template fails for {len(texts)} turns: {_told(exc)}") from exc
        return self._rewrite(prompt)

    def _typed(self, text: str) -> object:
        return text if self._content is Content.STRING else [{"type": "text", "text": text}]


def _as_turns(texts: Sequence[str], _variables: Mapping[str, object]) -> list[tuple[str, str]]:
    return [("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)]


def _told(exc: Exception) -> str:
    return str(exc)[:200] if isinstance(exc, jinja2.TemplateError) else type(exc).__name__


def _environment() -> ImmutableSandboxedEnvironment:
    """As chat templates are used to: block lines leave no trace, `tojson` escapes no HTML."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols], autoescape=False
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda format_: datetime.now(UTC).strftime(format_)
    return environment


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **how: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **how)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
