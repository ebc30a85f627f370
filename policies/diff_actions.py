"""How what a rule does differs between two policies: who hears of it, which model answers, what is removed and where.

The action itself is compared where the rules are (policies/diff.py): what is compared here matters only beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.actions import USUAL
from policies.changes import About, Change, Effect, yes_or_no
from policies.diff_reviews import diff_reviews
from policies.model import Action, Do
from policies.read_actions import SEVERITIES
from policies.replacements import shown as shown_of


def diff_actions(about: About, before: Do, after: Do) -> list[Change]:
    """All that a rule does about what it matches, apart from the action itself."""
    texts: Mapping[str, tuple[str, str, str]] = {
        "code": (before.code, after.code, "what the client's program reads"),
        "message": (before.message, after.message, "what the client reads"),
        "dialect": (before.dialect or USUAL, after.dialect or USUAL, "in which form the client is told"),
        "replacement": (before.replacement, after.replacement, "what stands where something was removed"),
    }
    changes = [*_heard(about, before, after), *_note(about, before.field, after.field)]
    changes += [*_routing(about, before, after), *_removal(about, before, after)]
    if before.review and after.review:
        changes += diff_reviews(about, before.review, after.review)
    for aspect, (was, now, reason) in texts.items():
        changes += about.renamed(aspect, was, now, reason)
    return changes


def _heard(about: About, before: Do, after: Do) -> list[Change]:
    """Who hears of it, and how loudly."""
    was, now = loudness(before), loudness(after)
    if was == now:
        return about.renamed("queue", before.queue, after.queue, "who hears of it")
    effect, reason = Effect.STRONGER, "people hear of it with more urgency"
    if now < was:
        effect, reason = Effect.WEAKER, "people hear of it with less urgency, or not"
    return [about.change("flag", _flag(before), _flag(after), effect, reason)]


def _note(about: About, before: str, after: str) -> list[Change]:
    if before and not after:
        return [about.change("annotate", before, "", Effect.WEAKER, "records are no longer marked with it")]
    return about.renamed("annotate", before, after, "what records are marked with")


def _routing(about: About, before: Do, after: Do) -> list[Change]:
    """Which model answers, and whether it can be asked again for the same answer."""
    changes = about.moved(
        "require_seed",
        before.require_seed,
        after.require_seed,
        more_is=Effect.STRONGER,
        up="it needs a seed",
        down="it needs no seed",
        shown=yes_or_no,
    )
    for aspect, was, now in (("model", before.model, after.model), ("engine", before.engine, after.engine)):
        if before.model and after.model and was != now:
            reason = "what another model answers cannot be compared without measuring it"
            changes.append(about.change(aspect, was or "any", now or "any", Effect.WEAKER, reason))
    return changes


def _removal(about: About, before: Do, after: Do) -> list[Change]:
    """What stays of something that is removed, and where."""
    changes = [
        *about.moved(
            "before_audit",
            before.before_audit,
            after.before_audit,
            more_is=Effect.STRONGER,
            up="it is kept nowhere",
            down="it may be kept, sealed",
            shown=yes_or_no,
        ),
        *about.moved(
            "reversible",
            before.reversible,
            after.reversible,
            more_is=Effect.WEAKER,
            up="it comes back in the answer",
            down="it no longer comes back",
            shown=yes_or_no,
        ),
    ]
    if before.template and after.template:
        changes += about.renamed("template", before.template, after.template, "which text is the answer")
    if before.action is after.action is Action.REPLACE:
        changes += about.moved(
            "replaces",
            bool(before.template),
            bool(after.template),
            more_is=Effect.STRONGER,
            up="all of the answer is the policy's",
            down="only the part is replaced",
            shown=lambda whole: "the answer" if whole else "the part",
        )
    if before.action is after.action is Action.REDACT:
        changes += about.moved(
            "shown",
            shown_of(before.replacement),
            shown_of(after.replacement),
            more_is=Effect.WEAKER,
            up="more of what is found is shown",
            down="less of what is found is shown",
            shown="{} characters".format,
        )
    return changes


def loudness(do: Do) -> int:
    """How urgently people hear of it; 0: not at all."""
    return 1 + SEVERITIES.index(do.severity) if do.queue else 0


def _flag(do: Do) -> str:
    return f"{do.queue} {do.severity}" if do.queue else "none"
