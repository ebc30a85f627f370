"""Every form in which a text is judged: the raw text, and those views that read differently.

The views of one chain build on each other (normalised, skeleton, unspaced, leet), because a hidden word often needs
more than one of them. Decoded text is cleaned by the same chain. A form that reads like one before it is left out, and
of a long text only the surroundings of what changed are kept, so that plain text costs one form and a long document
with one odd character little more. Nothing here raises; what could not be read to the end is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from guards.options import VIEWS
from guards.views.comments import comments
from guards.views.decoded import GROWTH, ROOM, decoded
from guards.views.leet import leet
from guards.views.mapped import Mapped, excerpt
from guards.views.normalised import normalised
from guards.views.rejoined import rejoined, unstyled
from guards.views.skeleton import skeleton
from guards.views.unspaced import unspaced

AROUND: Final = 1_000
"""Characters kept on both sides of a change: more than a window's overlap, so that its sentence is judged whole."""


def _unspaced(base: Mapped) -> Mapped | None:
    """Letters that stood apart mix scripts only once they are together."""
    current = base
    for step in (unstyled, unspaced, rejoined):
        current = step(current) or current
    return None if current is base else skeleton(current) or current


_CHAIN: Final[tuple[tuple[str, Callable[[Mapped], Mapped | None]], ...]] = (
    ("normalised", normalised),
    ("skeleton", skeleton),
    ("unspaced", _unspaced),
    ("leet", leet),
)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to read a text."""

    view: str
    mapped: Mapped

    @property
    def text(self) -> str:
        return self.mapped.text


@dataclass(frozen=True, slots=True)
class Forms:
    """All ways to read a text, the raw one first, no two of them equal."""

    forms: tuple[Form, ...]
    is_cut: bool = False
    """Whether there is more than the bounds allow (nested too deep, grown too large): then these forms are not all."""


def forms(text: str, views: Sequence[str] = VIEWS) -> Forms:
    """The forms of a text under the named views; `raw` is always among them."""
    raw = Mapped(text)
    found = [Form("raw", raw)]
    last = raw
    is_cut = False
    for name, changed in _chain(raw, views):
        if is_cut := len(changed.text) > GROWTH * len(text) + ROOM:
            break
        found.append(Form(name, excerpt(changed, last, AROUND)))
        last = changed
    if "decoded" in views and not is_cut:
        for source in [raw] if last is raw else [raw, last]:
            hidden = decoded(source)
            is_cut = is_cut or hidden.is_cut
            for view in hidden.views:
                clean = [changed for _, changed in _chain(view, views)]
                found += [Form("decoded", excerpt(one, source, AROUND)) for one in (view, *clean)]
    if "code" in views and (written := comments(raw)):
        found.append(Form("code", written))
    distinct: dict[str, Form] = {}
    for form in found:
        distinct.setdefault(form.text, form)
    return Forms(tuple(distinct.values()), is_cut)


def _chain(base: Mapped, views: Sequence[str]) -> Iterator[tuple[str, Mapped]]:
    """Each view that changes what the one before it made."""
    current = base
    for name, make in _CHAIN:
        if name in views and (changed := make(current)):
            current = changed
            yield name, current
