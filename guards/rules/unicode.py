"""Characters that hide, reorder or smuggle text; ordinary multilingual text and emoji pass.

What is found, and what is left alone because people write it:
  tags                    U+E0000–E007F, except the three flags (England, Scotland, Wales) in their exact sequences
  bidi                    overrides, deprecated shaping controls, and embeddings or isolates that their paragraph does
                          not close; balanced ones and the marks LRM, RLM, ALM are how right-to-left text is written
  zero_width_in_word      invisible characters between two letters, and runs of four or more anywhere; allowed are
                          joiners in scripts that join, break opportunities in scripts without spaces, marks beside
                          right-to-left letters, fillers in Hangul, and soft hyphens that leave syllables
  variation_selector_run  more than one selector on a base, or a selector that its base cannot have
  control                 C0 and C1 except tab, line feed and carriage return
  homoglyph               words that mix Latin letters with look-alikes of another script, and words of nothing but
                          look-alikes in a text of Latin ones; only when asked for. A Greek letter at the edge of a word
                          (TNFα, βHCG), a word of one letter and the dotless i of Turkish are left alone
A letter cut off from its base by the end of the text is not judged across that end: text cut in pieces has to be
joined first. An unclosed isolate at the end of the text counts as unclosed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from heapq import merge
from itertools import groupby

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, occurs, runs
from guards.verdict import Span
from guards.views.confusables import disguised

LABELS = ("tags", "bidi", "zero_width_in_word", "variation_selector_run", "control", "homoglyph")
USUAL = LABELS[:5]
"""What leaving `find` out means: characters that no ordinary text has. Scripts are mixed in ordinary text, too."""
RUN_LIMIT = 4
"""Invisible characters in a row that no script needs: beyond this they carry data, wherever they stand."""

_CLASSES = {
    "tags": "\U000e0000-\U000e007f",
    "bidi": "\u202a-\u202e\u2066-\u206f",
    "zero_width_in_word": "\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2060-\u2064\u3164\ufeff\uffa0",
    "variation_selector_run": "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef",
    "control": "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f",
}
_KINDS = {label: re.compile(f"[{chars}]") for label, chars in _CLASSES.items()}
_SUSPECT = re.compile(f"[{''.join(_CLASSES.values())}]+")
_CONTROL = re.compile(f"[{_CLASSES['control']}]+")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_PARAGRAPH_END = re.compile("[\n\r\x1c-\x1e\x85\u2029]")

_FLAGS = frozenset(
    "".join(chr(0xE0000 + ord(c)) for c in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)
_EMBEDDINGS, _OVERRIDES, _ISOLATES = "\u202a\u202b", "\u202d\u202e", "\u2066\u2067\u2068"
_POP_EMBEDDING, _POP_ISOLATE = "\u202c", "\u2069"

JOINING = (
    "\u0600-\u085f\u08a0-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff"
    "\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f"
)
"""Scripts in which a joiner or non-joiner changes how a word is written: Arabic, Indic, Khmer, Mongolian and others."""
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u31ff\u3400-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})

_NEEDS = {
    "\u200c": re.compile(f"[{JOINING}]"),
    "\u200d": re.compile(f"[{JOINING}]"),
    "\u200b": re.compile(f"[{_UNSPACED}]"),
    "\u2060": re.compile(f"[{_UNSPACED}]"),
    "\u180e": re.compile("[\u1800-\u18af]"),
    "\u115f": re.compile(f"[{_HANGUL}]"),
    "\u1160": re.compile(f"[{_HANGUL}]"),
}
_INVISIBLE = re.compile(f"[{_CLASSES['zero_width_in_word']}]")


class UnicodeGuard(RuleGuard):
    """`find` selects among LABELS."""

    def __init__(self, find: Iterable[str] = USUAL) -> None:
        super().__init__("unicode", 2)
        self.find = frozenset(find)
        if unknown := sorted(self.find - set(LABELS)):
            raise GuardSetupError("unicode", f"`{unknown[0]}` is not one of {', '.join(LABELS)}", "find")

    def spans(self, text: str) -> Iterator[Span]:
        if text.isascii() and not occurs(_CONTROL, text):
            return iter(())
        hits = _in_runs(text)
        if occurs(_DIRECTIONS, text):
            hits = merge(hits, _unbalanced(text))
        if "homoglyph" in self.find:
            hits = merge(hits, _look_alikes(text))
        return (span for span in hits if span.label in self.find)


@cache
def _kind(char: str) -> str:
    return next(label for label, pattern in _KINDS.items() if pattern.match(char))


def _in_runs(text: str) -> Iterator[Span]:
    """Hits that the run of suspicious characters and its two neighbours decide."""
    for low, high in runs(_SUSPECT, text):
        left, right = text[low - 1 : low], text[high : high + 1]
        start = low
        for label, chars in groupby(text[low:high], _kind):
            end = start + sum(1 for _ in chars)
            if _JUDGES[label](text, start, end, left, right):
                yield Span(start, end, label)
            start = end


def _is_tag_smuggling(text: str, start: int, end: int, left: str, right: str) -> bool:
    return text[start - 1 : start] != "\U0001f3f4" or text[start:end] not in _FLAGS


def _is_shaping_control(text: str, start: int, end: int, left: str, right: str) -> bool:
    """Overrides and balance are found by `_unbalanced`; here only the deprecated controls count."""
    return any(char >= "\u206a" for char in text[start:end])


def _is_control(text: str, start: int, end: int, left: str, right: str) -> bool:
    return True


def _is_stray_selector(text: str, start: int, end: int, left: str, right: str) -> bool:
    if end - start > 1:
        return True
    selector, base = text[start], text[start - 1 : start]
    if selector in "\ufe0e\ufe0f":  # text and emoji style; often left behind where an emoji was deleted
        return False
    if "\u180b" <= selector <= "\u180f":
        return not "\u1800" <= base <= "\u18af"
    if selector >= "\U000e0100":  # ideographic variants
        return base < "\u2e80" or unicodedata.category(base) != "Lo"
    return base.isascii() and base != "0"  # a slashed zero is the one standardised variant in ASCII


def _is_hidden_in_word(text: str, start: int, end: int, left: str, right: str) -> bool:
    if end - start >= RUN_LIMIT:
        return True
    if not (_in_words(left) and _in_words(right)):
        return False
    return any(not _is_needed(char, text, start, end, left, right) for char in text[start:end])


def _in_words(char: str) -> bool:
    return char != "" and unicodedata.category(char)[0] in "LNM"


def _is_needed(char: str, text: str, start: int, end: int, left: str, right: str) -> bool:
    """Whether the scripts on the two sides are ones that use this invisible character."""
    if char == "\u00ad":
        return end - start == 1 and not _leaves_single_letter(text, start, end)
    if char in "\u200e\u200f\u061c":
        return not _RIGHT_TO_LEFT.isdisjoint((unicodedata.bidirectional(left), unicodedata.bidirectional(right)))
    if char == "\u034f":  # keeps combining marks apart
        return "M" in (unicodedata.category(left)[0], unicodedata.category(right)[0])
    pattern = _NEEDS.get(char)
    return bool(pattern and (pattern.match(left) or pattern.match(right)))


def _leaves_single_letter(text: str, start: int, end: int) -> bool:
    """Hyphenation leaves syllables; a soft hyphen after every letter is there to break the word."""
    before, after = text[start - 2 : start - 1], text[end + 1 : end + 2]
    return bool(_INVISIBLE.match(before) or _INVISIBLE.match(after))


def _unbalanced(text: str) -> Iterator[Span]:
    """Overrides always; embeddings and isolates that are still open where their paragraph ends.

    A closer without an opener changes nothing on the screen and is left alone.
    """
    bad: list[int] = []
    opened: list[int] = []
    isolates: list[int] = []  # how many were open below each open isolate, so that a closer costs what it closes
    last = 0
    for match in _DIRECTIONS.finditer(text):
        at, char = match.start(), match.group()
        if opened and _PARAGRAPH_END.search(text, last, at):
            bad += _still_open(text, opened)
            opened, isolates = [], []
        last = at
        if char == _POP_EMBEDDING:
            if opened and text[opened[-1]] not in _ISOLATES:
                opened.pop()
        elif char == _POP_ISOLATE:
            if isolates:
                depth = isolates.pop()
                bad += _still_open(text, opened[depth + 1 :])
                del opened[depth:]
        else:
            if char in _ISOLATES:
                isolates.append(len(opened))
            opened.append(at)
            if char in _OVERRIDES:
                bad.append(at)
    bad += _still_open(text, opened)
    return (Span(at, at + 1, "bidi") for at in sorted(bad))


_GREEK_NAME = re.compile("[αβγδεζηικλμνπρστυφχψωΑΒΓ]")
_DOTLESS = re.compile("[A-Za-zı]+")


def _look_alikes(text: str) -> Iterator[Span]:
    for start, end in disguised(text):
        word = text[start:end]
        inner = word[bool(_GREEK_NAME.match(word[:1])) : len(word) - bool(_GREEK_NAME.match(word[-1:]))]
        if len(word) > 1 and not inner.isascii() and not _DOTLESS.fullmatch(inner):
            yield Span(start, end, "homoglyph")


def _still_open(text: str, opened: Iterable[int]) -> list[int]:
    return [at for at in opened if text[at] not in _OVERRIDES]


_JUDGES = {
    "tags": _is_tag_smuggling,
    "bidi": _is_shaping_control,
    "zero_width_in_word": _is_hidden_in_word,
    "variation_selector_run": _is_stray_selector,
    "control": _is_control,
}
