"""The links of a text as a browser would follow them: where they stand, what writes them, which host they lead to.

Markdown, HTML and CSS are read loosely on purpose: a renderer forgives, so what might be taken for a link is one. A
browser takes tabs and line breaks out of an address, reads `\\` as `/`, takes any number of slashes, and resolves
character references; `host` does the same before it looks. Where a language has escapes of its own (`\\:` in Markdown,
`\\3a` in CSS), the address is there twice, as it stands and without them. An address whose host cannot be told has
none, and that is no host that anybody allowed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from guards.rules.base import compile_re2, matches
from guards.views.folded import folded

_BLANK: Final = re.compile(r"[\t\n\r\x00]")
_AUTHORITY: Final = re.compile(r"(?i)[\x00-\x20\s]*(?:(?:https?|wss?|ftps?):[/\\]*|[/\\]{2,})([^/\\?#]*)")
_SCHEME: Final = re.compile(r"(?i)[\x00-\x20\s]*([a-z][a-z0-9+.-]{0,30}):")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_PLACELESS: Final = frozenset(("", "mailto", "tel", "sms"))
_ACTIVE: Final = frozenset(("javascript", "vbscript", "data", "file", "blob"))

_KINDS: Final = (
    ("image", r"!\[(?:[^\n]|\n[^\n])*?\]\(\s*<?([^\s<>)\"']+)"),
    ("image", r"\A[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]\(\s*<?([^\s<>)\"']+)"),
    ("link", r"\]\(\s*<?([^\s<>)\"']+)"),
    ("reference", r"(?m)^[ >\t*+.)0-9-]{0,24}\[(?:[^\]\\]|\\.){1,999}\]:\s*<?([^\s<>]+)"),
    ("autolink", r"(?i)<([a-z][a-z0-9+.-]{1,30}:[^\s<>]+)>"),
    (
        "html",
        r"(?i)\b(?:(?:low|dyn)?src|(?:image)?srcset|href|action|formaction|poster|background|data|cite|ping|longdesc|manifest|codebase)"
        r"\s*=\s*(?:\"([^\"]+)|'([^']+)|([^\s\"'>]+))",
    ),
    ("html", r"(?i)http-equiv\s*=[^>]{0,80}url\s*=\s*[\"']?([^\s\"'>]+)"),
    ("css", r"(?i)(?:url\(|(?:image-set\(|@import)\s*(?:url\()?)\s*[\"']?([^\s\"')]+)"),
    (
        "bare",
        r"(?i)\b(?:https?|wss?|ftps?)\s?:(?:[/\\]{1,4}[^\s<>\"'`)]*|(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b[^\s<>\"'`)]*)"
        r"|\bwww\.(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b[^\s<>\"'`)]*",
    ),
)
"""In this order of claim: one address that two ways of writing share belongs to the first. The second image is one
whose beginning is not in the text: in a stream it may have left long ago, so what is not known to be a link is none."""
_SCRIPT: Final = compile_re2(
    r"(?i)\b(?:j\s{0,3}a\s{0,3}v\s{0,3}a|vb)\s{0,3}s\s{0,3}c\s{0,3}r\s{0,3}i\s{0,3}p\s{0,3}t\s{0,3}:"
)
KINDS: Final = ("image", "link", "reference", "autolink", "html", "css", "bare", "script")
_PATTERNS: Final = tuple((kind, compile_re2(pattern)) for kind, pattern in _KINDS)


@dataclass(frozen=True, slots=True)
class Link:
    """An address in a text."""

    start: int
    end: int
    kind: str
    address: str
    """As a browser would follow it."""

    @property
    def host(self) -> str | None:
        """In small letters; empty for an address that stays where it is, None where it cannot be told."""
        return host(self.address)


def links(text: str) -> Iterator[Link]:
    """Every address, by kind and then by place."""
    seen: set[int] = set()
    for kind, pattern in _PATTERNS:
        for match in matches(pattern, text):
            at = next((group for group in range(1, pattern.groups + 1) if match.group(group)), 0)
            start, end = match.span() if kind == "bare" else match.span(at)
            if start in seen or end <= start:
                continue
            seen.add(start)
            way = "srcset" if "srcset" in match.group()[:16].lower() else kind
            for address in addresses(text[start:end], way):
                # GitHub's Markdown, and what follows it, makes a link of a name that begins so.
                full = f"http://{address}" if kind == "bare" and address[:4].lower() == "www." else address
                yield Link(start, end, kind, full)
    for match in matches(_SCRIPT, text):
        if match.start() not in seen:
            yield Link(match.start(), match.end(), "script", _BLANK.sub("", match.group()).replace(" ", ""))


def addresses(raw: str, way: str) -> list[str]:
    """Every address that some reader may find in what stands in its place; `way` is a kind, or `srcset`."""
    clean = _BLANK.sub("", html.unescape(raw))
    if way == "srcset":
        return [one.split()[0] for one in clean.split(",") if one.split()]
    if "\\" not in raw or way not in _UNESCAPED:
        return [clean]
    pattern, meant = _UNESCAPED[way]
    return [clean, _BLANK.sub("", html.unescape(pattern.sub(meant, raw)))]


def _css(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else 0
    return (chr(code) if code <= 0x10FFFF else "\ufffd") if match[1] else match[2]


_MARKDOWN: Final = (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1")
_UNESCAPED: Final[Mapping[str, tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]] = {
    "image": _MARKDOWN,
    "link": _MARKDOWN,
    "reference": _MARKDOWN,
    "css": (re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))"), _css),
}
"""By kind, what is written with a backslash there and what it means."""


def scheme(address: str) -> str:
    """In small letters; empty for a relative address."""
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def is_active(address: str) -> bool:
    """Whether following it runs code or opens what the text itself holds."""
    return scheme(address) in _ACTIVE


def host(address: str) -> str | None:
    found = _AUTHORITY.match(address)
    if found is None:
        return "" if scheme(address) in _PLACELESS else None
    name = folded(unquote(found[1].rpartition("@")[2])).text.lower()
    name = re.sub(r":\d{0,5}$", "", name).rstrip(".")
    return name if _HOST.fullmatch(name) else None


def is_allowed(name: str | None, allowed: frozenset[str]) -> bool:
    """`example.com` allows that host, `*.example.com` every host below it."""
    if name is None:
        return False
    if name == "" or name in allowed:
        return True
    labels = name.split(".")
    return any("*." + ".".join(labels[at:]) in allowed for at in range(1, len(labels)))
