"""Which characters a redaction takes, and what becomes of cuts that overlap. Pure, and the same in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from guards.verdict import Part, Verdict
from policies.model import Facts, Redaction, Rule
from policies.replacements import filled, shown


def cuts_of(rule: Rule, part: Part, verdicts: Mapping[str, Verdict], facts: Facts) -> list[Redaction]:
    """The spans that made the rule match. A span outside the text is a guard's mistake: then the whole text goes."""
    length, do = len(part.text), rule.do

    def cut(start: int, end: int, label: str, found: str) -> Redaction:
        placed = filled(do.replacement, label, found)
        kept = shown(do.replacement)
        return Redaction(part.path, start, end, placed, rule.id, "redact", do.before_audit, do.reversible, kept)

    spans = list(rule.when.spans(verdicts, facts))
    if not spans or any(span.end > length for span in spans):
        return [cut(0, length, "removed", "")]
    return [cut(span.start, span.end, span.label, part.text[span.start : span.end]) for span in spans]


def united(cuts: Iterable[Redaction]) -> tuple[Redaction, ...]:
    """Overlapping cuts become one, with the replacement that shows least; of equals that of the one that begins first.

    One that must not come back, or must not be kept, stays so for all of it.
    """

    def order(cut: Redaction) -> tuple[object, ...]:
        return (cut.path, cut.start, -cut.end, cut.kind != "replace", cut.shows, cut.rule, cut)

    united: list[Redaction] = []
    for cut in sorted(cuts, key=order):
        last = united[-1] if united else None
        if last is None or last.path != cut.path or last.end <= cut.start:
            united.append(cut)
        else:
            united[-1] = _joined(last, cut)
    return tuple(united)


def _joined(first: Redaction, other: Redaction) -> Redaction:
    """One cut for two that overlap."""
    said = min((first, other), key=lambda cut: (cut.reversible, cut.shows))
    end, before_audit = max(first.end, other.end), first.before_audit or other.before_audit
    return replace(said, start=first.start, end=end, before_audit=before_audit)
