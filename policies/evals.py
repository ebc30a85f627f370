"""`eval:` of a policy file: how well a rule has to find what it is for, on texts that are pinned beside the policy.

A corpus is JSON lines, {"text": …, "label": 0 or 1}, as `gatehouse eval` reads them. It decides nothing in an exchange,
so a policy loads without it, and its digest does not depend on it; who runs the evaluation reads the bytes that are
pinned, or none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policies import vocabulary as words
from policies.errors import Place, Problems
from policies.fields import Section, choice, matching, ppm, text
from policies.pinned import EXPECTED, FORM, Pin, PinError, pin_of
from policies.read_rules import RULE_ID
from policies.yaml_strict import Broken, Listing, Node

MOST: Final = 64
BOUNDS: Final = ("min_recall", "max_fpr")
CALLER: Final = "test"
"""Tenant and app where the entry does not say, as in `tests:`."""


@dataclass(frozen=True, slots=True)
class Eval:
    """One corpus, one rule, and what has to come of it."""

    place: Place
    corpus: Pin
    rule: str
    least_recall_ppm: int | None = None
    """Of the rows to flag, how many at least have to match."""
    most_fpr_ppm: int | None = None
    """Of the rows to pass, how many at most may."""
    tenant: str = CALLER
    app: str = CALLER
    claims: tuple[tuple[str, str], ...] = ()
    """What the key says of the requests; sorted."""

    def data(self) -> bytes:
        """The corpus. Raises PinError."""
        return self.corpus.read(Path(self.place.file).parent)


def read_evals(
    node: Node | None, rule_ids: Collection[str], claims: Collection[str], problems: Problems
) -> tuple[Eval, ...]:
    """`eval: [{corpus: FILE@sha256:…, rule: ID, min_recall: 0.95}]`. No ids: which rules there are is not known."""
    if node is None or isinstance(node, Broken):
        return ()
    if not isinstance(node, Listing) or len(node.items) > MOST:
        problems.add(node.place, f"`eval` has to be a list of at most {MOST} corpora")
        return ()
    return tuple(one for item in node.items if (one := _eval(item, rule_ids, claims, problems)))


def _eval(node: Node, rule_ids: Collection[str], claims: Collection[str], problems: Problems) -> Eval | None:
    names = (*words.CLAIMS, *claims)
    section = Section.open(node, "an entry of `eval`", problems, ("corpus", "rule", *BOUNDS, "tenant", "app", *names))
    if section is None:
        return None
    if not any(key in section for key in BOUNDS):
        problems.add(section.place, "an entry of `eval` has no bound", "give `min_recall`, `max_fpr`, or both")
    pin = _pin(section, problems)
    a_rule = choice(sorted(rule_ids)) if rule_ids else matching(RULE_ID, "a rule id")
    recall, fpr = (section.get(key, ppm, 0) if key in section else None for key in BOUNDS)
    found = Eval(
        place=section.place,
        corpus=pin or Pin("", ""),
        rule=section.require("rule", a_rule, ""),
        least_recall_ppm=recall,
        most_fpr_ppm=fpr,
        tenant=section.get("tenant", text, CALLER),
        app=section.get("app", text, CALLER),
        claims=tuple(sorted((name, section.get(name, text, "")) for name in names if name in section)),
    )
    return found if pin and found.rule else None


def _pin(section: Section, problems: Problems) -> Pin | None:
    written = section.require("corpus", matching(FORM, EXPECTED), "")
    try:
        return pin_of(written) if written else None
    except PinError as exc:
        problems.add(section.place_of("corpus"), f"`corpus`: {exc}")
        return None
