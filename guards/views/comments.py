"""What a person wrote inside code: comments, and strings that are sentences, without the code around them.

A model that reads code reads these as language, and a classifier that sees a page of code may not notice two lines of
them. Comments with an end (HTML, C, fenced in triple quotes) are found anywhere; those that run to the end of a line,
and strings, only in text that looks like code, so that quotations and headings in prose are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guards.views.mapped import Mapped, Piece, joined

_BLOCKS = (("<!--", "-->"), ("/*", "*/"), ('"""', '"""'), ("'''", "'''"))
_CODE_LINE = re.compile(
    r"^[ \t]*(?:(?:def|class|function|func|fn|impl|struct|public|private|static|const|let|var|if|elif|else|for|while"
    r"|try|switch|case)\b[^\n]*[({:;][ \t]*$|(?:import|package|using)[ \t]+[\w.{*]+[^\n]{0,80}$|#(?:include|define|!/)"
    r"|(?:print|echo|console\.log)\(|(?:[\w.<>*&]{1,64}[ \t]+){0,2}[\w.\[\]]{1,64}[ \t]*[-+*/:]?=[^=\n]|SELECT\b"
    r"|INSERT\b|UPDATE\b|DELETE\b|CREATE\b|[^\n]{0,400}[;{}][ \t]*$)",
    re.MULTILINE,
)
_LEAST_CODE_LINES = 2
_LINE_COMMENT = re.compile(r"(?:(?<![:\w\"'])//|(?<!\S)#(?![#!])|(?<!\S)--(?=\s))[ \t]*(?P<text>[^\n]+)")
_STRING = re.compile(r"\"(?P<double>(?:[^\"\\\n]|\\.){8,2000})\"|'(?P<single>(?:[^'\\\n]|\\.){8,2000})'")
_SENTENCE = re.compile(r"[^\W\d_]{2,}\W+(?:[^\W\d_]+\W+){1,}[^\W\d_]{2,}")
_LEAST_CHARS = 8


def comments(base: Mapped) -> Mapped | None:
    """None when there are none."""
    text = base.text
    pieces = set(_blocks(text))
    if "\n" in text and _looks_like_code(text):
        pieces |= {*_lines(text), *_strings(text)}
    return joined(pieces, base)


def _looks_like_code(text: str) -> bool:
    if "```" in text:
        return True
    return (
        sum(1 for _, _ in zip(_CODE_LINE.finditer(text), range(_LEAST_CODE_LINES), strict=False)) == _LEAST_CODE_LINES
    )


def _blocks(text: str) -> Iterator[Piece]:
    for opening, closing in _BLOCKS:
        start = text.find(opening)
        while start >= 0:
            end = text.find(closing, start + len(opening))
            if end < 0 and opening == "<!--":  # a browser reads an unclosed one to the end of the page
                end = len(text)
            if end < 0:
                break
            yield from _sentence(text, start + len(opening), end)
            start = text.find(opening, end + len(closing))


def _lines(text: str) -> Iterator[Piece]:
    for match in _LINE_COMMENT.finditer(text):
        yield from _sentence(text, *match.span("text"))


def _strings(text: str) -> Iterator[Piece]:
    for match in _STRING.finditer(text):
        yield from _sentence(text, *match.span(match.lastgroup or 0))


def _sentence(text: str, start: int, end: int) -> Iterator[Piece]:
    """The piece, if it holds at least three words."""
    if end - start >= _LEAST_CHARS and _SENTENCE.search(text, start, end):
        yield Piece(start, end, text[start:end].strip())
