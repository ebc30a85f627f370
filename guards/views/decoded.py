"""Text hidden inside text, decoded: codes of characters, base64, hexadecimal, invisible bytes, ciphers; also nested.

What is decoded is decoded again, up to DEPTH layers, and together it may be GROWTH times the text. Beyond that nothing
is silently left out: `is_cut` says that there was more, and a guard then has no verdict instead of a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guards.views.buried import buried
from guards.views.ciphers import deciphered
from guards.views.escapes import unescaped
from guards.views.mapped import Mapped, joined

DEPTH: Final = 3
GROWTH: Final = 4
ROOM: Final = 65_536
"""Characters that even a short text may decode to."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found in one text."""

    views: tuple[Mapped, ...] = ()
    is_cut: bool = False
    """Whether there was more than the bounds allow."""


def decoded(base: Mapped) -> Decoded:
    """All hidden texts: one view for the text with its codes undone, and one for the texts buried in each layer."""
    seen = {base.text}
    views: list[Mapped] = []
    room = GROWTH * len(base.text) + ROOM
    layer = [_Source(base)]
    for depth in range(DEPTH + 1):
        found: list[_Source] = []
        for source in layer:
            more, is_cut = source.hidden()
            if is_cut:
                return Decoded(tuple(views), is_cut=True)
            for one in more:
                if one.view.text not in seen:
                    seen.add(one.view.text)
                    found.append(one)
        room -= sum(len(one.view.text) for one in found)
        if found and (depth == DEPTH or room < 0):
            return Decoded(tuple(views), is_cut=True)
        views += [one.view for one in found]
        layer = found
    return Decoded(tuple(views))


@dataclass(frozen=True, slots=True)
class _Source:
    """A text to look into."""

    view: Mapped
    is_deciphered: bool = False
    """A cipher undone twice is the text again: what came out of one is not tried for another."""

    def hidden(self) -> tuple[list[_Source], bool]:
        """What is in it, and whether it was not read to the end."""
        text = self.view.text
        plain, is_cut = unescaped(self.view)
        pieces = joined(buried(text), self.view)
        found = [_Source(view, self.is_deciphered) for view in (plain, pieces) if view]
        if not self.is_deciphered and (undone := joined(deciphered(text), self.view)):
            found.append(_Source(undone, is_deciphered=True))
        return found, is_cut
