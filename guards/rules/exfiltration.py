"""Addresses in a text whose host nobody allowed: a picture that is shown is a request that is sent.

A model that was told to by a document puts what it knows into an address, and the reader's browser delivers it. So
every address counts whose host is not on the list, however it is written (guards/rules/links.py), and on an allowed
host one that carries much that is no words: in names below it, in path, query or fragment. What the page behind an
allowed host does with a request, and an address that a reader types off, are outside this guard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules.base import RuleGuard
from guards.rules.links import KINDS, addresses, host, is_active, is_allowed, links
from guards.verdict import Span
from guards.views.folded import folded

OPTIONS: Final = frozenset(("find", "hosts"))
LABELS: Final = (*KINDS, "data")
_ALLOWED: Final = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_SIGNS: Final = (":", "/", "\\", "(", "=", "\uff1a", "\uff0f", "&", "w.", "W.", "\uff57", "\uff37")
"""Without one of them there is no address."""
_MOST_CARRIED: Final = 40
_BEHIND_HOST: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]*[^/\\?#]*(.*)", re.DOTALL)
_PIECE: Final = re.compile(r"[A-Za-z0-9]+")
_ORDINARY: Final = re.compile(r"[A-Za-z]?[a-z]{0,19}|[A-Z]{1,8}|[0-9]{1,8}|[0-9]{1,4}[a-z]{1,4}|[a-z]{1,12}[0-9]{1,4}")
"""A word, a number, `2x`, `page12`: of such pieces are readable addresses, however long."""
_NEEDLESS: Final = re.compile(r"(?:%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])){14}")
"""Letters and digits that nobody has to write as codes."""
_KNOWN_AFTER: Final = 48
"""An address is a word: a stream keeps it whole once its beginning is there."""


class ExfiltrationGuard(RuleGuard):
    """`hosts` are allowed, such as `example.com` and `*.example.com`; `find` chooses among LABELS."""

    known_after = _KNOWN_AFTER

    def __init__(self, hosts: Sequence[str] = (), find: Sequence[str] = LABELS) -> None:
        super().__init__("exfiltration", 3)
        self._hosts, self._find = frozenset(hosts), frozenset(find)
        if wrong := sorted(name for name in self._hosts if not _ALLOWED.fullmatch(name)):
            told = f"`{wrong[0][:80]}` is no host, expected small letters such as `example.com` or `*.example.com`"
            raise GuardSetupError("exfiltration", told, "hosts")
        if unknown := sorted(self._find - set(LABELS)):
            raise GuardSetupError("exfiltration", f"`{unknown[0]}` is not one of {', '.join(LABELS)}", "find")
        if not self._find:
            raise GuardSetupError("exfiltration", "nothing to find, expected at least one way of writing", "find")
        self.labels = tuple(sorted(self._find))
        self.settings = {"hosts": tuple(sorted(self._hosts)), "find": self.labels}

    @classmethod
    def of(cls, options: Options) -> ExfiltrationGuard:
        return cls(options.strings("hosts", ()), options.strings("find", LABELS))

    def spans(self, text: str) -> Iterator[Span]:
        if not any(sign in text for sign in _SIGNS):
            return iter(())
        view = folded(text)
        found: set[tuple[int, int, str]] = set()
        for link in links(view.text):
            start, end = view.raw(link.start, link.end)
            # What folding makes a slash is none to a browser: then all of it up to an `@` is a user's name.
            raw = () if text.isascii() else addresses(text[start:end], link.kind)
            ways = {link.address, *(one for one in raw if "@" in one)}
            # What refers to the address may be a picture, and have left a stream long before.
            kinds = ("image", "reference") if link.kind == "reference" else (link.kind,)
            labels = {self._label(kind, address) for address in ways for kind in kinds}
            found.update((start, end, label) for label in labels & self._find)
        return iter(sorted(Span(*one) for one in found))

    def _label(self, kind: str, address: str) -> str:
        """Why the address counts; empty where it does not."""
        name = host(address)
        if is_active(address):
            return "script" if "script" in self._find else kind
        if not is_allowed(name, self._hosts):
            return kind
        return "data" if name and self._carries(name, address) else ""

    def _carries(self, name: str, address: str) -> bool:
        """Whether the address has room for what somebody else should not read: 40 characters that are no words."""
        behind = _BEHIND_HOST.fullmatch(address)
        below = "" if name in self._hosts else _below(name, self._hosts)
        if _NEEDLESS.search(address) or sum(map(len, _PIECE.findall(below))) >= _MOST_CARRIED:
            return True
        pieces = _PIECE.findall(unquote(behind[1])) if behind else []
        return sum(len(piece) for piece in pieces if not _ORDINARY.fullmatch(piece)) >= _MOST_CARRIED


def _below(name: str, hosts: frozenset[str]) -> str:
    """What stands before the part that an entry such as `*.example.com` names."""
    labels = name.split(".")
    told = (at for at in range(1, len(labels)) if "*." + ".".join(labels[at:]) in hosts)
    return ".".join(labels[: next(told, 0)])
