"""What differs between two policies in what they mean, each difference with the way it goes.

A pure function of two loaded policies, so spelling, comments and the order of rules do not show. It compares what is
decided when every guard answers, and errs to one side only: a change that is not shown to be harmless is `weaker`
(policies/changes.py). What passes because some rule looks at it is compared by scope, since the rules share that work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from guards.verdict import Scope
from policies.actions import USUAL
from policies.changes import Change, Effect, moved, renamed
from policies.compare import NEVER, coverage, covers, region
from policies.diff_defaults import diff_limits, diff_streams
from policies.diff_detectors import diff_detectors, follows
from policies.diff_reviews import diff_on_error, diff_reviews, diff_uncovered
from policies.errors import Place
from policies.keeping import diff_keeping
from policies.matchers import ALWAYS, Matcher
from policies.model import Action, Do, Mode, Policy, Rule
from policies.read_actions import SEVERITIES
from policies.read_times import day_of
from policies.replacements import shown as shown_of
from policies.spoken import condition, doing, said

_NOWHERE = Place("", 0, 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes from one policy to another, sorted."""

    changes: tuple[Change, ...]

    @property
    def is_weaker(self) -> bool:
        """Whether something may pass that did not."""
        return any(change.effect is Effect.WEAKER for change in self.changes)

    def count(self, effect: Effect) -> int:
        return sum(change.effect is effect for change in self.changes)


def diff(before: Policy, after: Policy) -> Difference:
    """From `before` to `after`."""
    was, now = ({rule.id: rule for rule in policy.rules} for policy in (before, after))
    both = [(was[id_], now[id_]) for id_ in sorted(was.keys() & now.keys())]
    changes = [
        *_identity(before, after),
        *diff_limits(before.limits, after.limits),
        *diff_streams(before.stream, after.stream),
        *diff_on_error(
            ("policy", "on_error"),
            (before.on_error, before.risk, before.people),
            (after.on_error, after.risk, after.people),
        ),
        *diff_uncovered(before.uncovered, after.uncovered),
        *diff_keeping(before.audit, after.audit),
        *_templates(before, after),
        *diff_detectors(before.detectors, after.detectors, both),
        *_coverage(before, after),
        *_tests(before, after),
    ]
    shared = before.detectors.keys() & after.detectors.keys()
    moved = {name: (before.detectors[name], after.detectors[name]) for name in shared}
    for rule, edited in both:
        changes += _edited(follows(rule, moved), edited)
    added = [now[id_] for id_ in sorted(now.keys() - was.keys())]
    changes += [_removed(was[id_], added) for id_ in sorted(was.keys() - now.keys())]
    changes += [change for rule in added for change in _added(rule)]
    return Difference(tuple(sorted(changes)))


def _identity(before: Policy, after: Policy) -> list[Change]:
    told = "informative"
    was, now = (", ".join(policy.regimes) for policy in (before, after))
    return [
        *renamed("policy", "name", "name", before.name, after.name, told),
        *renamed("policy", "version", "version", before.version, after.version, told),
        *renamed("policy", "owner", "owner", before.owner, after.owner, told),
        *renamed("policy", "regimes", "regimes", was, now, told),
    ]


def _templates(before: Policy, after: Policy) -> list[Change]:
    reason = "what stands in place of an answer"
    names = sorted(name for name in before.templates.keys() & after.templates.keys())
    changed = [name for name in names if before.templates[name] != after.templates[name]]
    return [Change("template", name, "text", "", "edited", Effect.OTHER, reason) for name in changed]


def _tests(before: Policy, after: Policy) -> list[Change]:
    was, now = ({case.name: replace(case, place=_NOWHERE) for case in policy.cases} for policy in (before, after))
    changed = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    words = {(True, True): "changed", (True, False): "removed", (False, True): "added"}
    reason = "a test decides nothing"
    return [Change("test", name, words[name in was, name in now], "", "", Effect.OTHER, reason) for name in changed]


# --- scopes ---


def _coverage(before: Policy, after: Policy) -> list[Change]:
    """What may pass at all: a part that no enforcing rule looks at is refused."""
    changes = []
    for scope in Scope:
        was, now = _looked_at(before, scope), _looked_at(after, scope)
        more, less = covers(now, was), covers(was, now)
        if more and less:
            continue
        effect = Effect.STRONGER if less else Effect.WEAKER
        reason = "less of it may pass" if less else "parts may pass that no rule looked at"
        changes.append(Change("scope", str(scope), "covered", _covered(was), _covered(now), effect, reason))
    return changes


def _looked_at(policy: Policy, scope: Scope) -> Matcher:
    """What may pass of the scope, as far as rules look at it; with `uncovered: allow` all of it may."""
    return ALWAYS if policy.uncovered else coverage(policy.plan(scope).enforcing)


def _covered(matcher: Matcher) -> str:
    if matcher == NEVER:
        return "no rule, refused"
    return "always" if covers(matcher, ALWAYS) else said(matcher)


# --- rules ---


def _decides(rule: Rule) -> bool:
    """`allow` only covers, and what is covered is compared by scope. A rule that rests decides from some day on."""
    return (rule.mode is Mode.ENFORCE or rule.until is not None) and rule.do.action is not Action.ALLOW


def _idle(rule: Rule) -> str:
    """Why a rule that does not decide decides nothing."""
    return "a shadow rule decides nothing" if rule.mode is not Mode.ENFORCE else "`allow` only covers: see the scopes"


def _described(rule: Rule) -> str:
    shadow = "" if rule.mode is Mode.ENFORCE else f"{_told_mode(rule)}: "
    return f"{shadow}{doing(rule.do)} on {', '.join(sorted(rule.scopes))} when {condition(rule)}"


def _added(rule: Rule) -> list[Change]:
    return [_added_itself(rule), *_relaxing(rule.id, "", rule.relaxes)]


def _relaxing(id_: str, before: str, after: str) -> list[Change]:
    """An exception from another rule."""
    reasons = (f"`{before}` holds there as well", f"`{after}` does not hold where this rule matches")
    if before == after:
        return []
    effect = Effect.WEAKER if after else Effect.STRONGER
    return [Change("rule", id_, "relaxes", before, after, effect, reasons[bool(after)])]


def _added_itself(rule: Rule) -> Change:
    told = ("it decides more", Effect.STRONGER) if _decides(rule) else (_idle(rule), Effect.OTHER)
    return Change("rule", rule.id, "added", "", _described(rule), told[1], told[0])


def _removed(rule: Rule, added: list[Rule]) -> Change:
    """Renaming a rule is no weakening: an added one may do all that it did."""
    told = (f"nothing does what it did: {doing(rule.do)}", Effect.WEAKER)
    if not _decides(rule):
        told = (_idle(rule), Effect.OTHER)
    elif heirs := [other.id for other in added if _does_all_of(other, rule)]:
        told = (f"added rule `{heirs[0]}` does at least as much", Effect.OTHER)
    return Change("rule", rule.id, "removed", _described(rule), "", told[1], told[0])


def _does_all_of(rule: Rule, other: Rule) -> bool:
    return (
        _decides(rule)
        and other.scopes <= rule.scopes
        and rule.do.action >= other.do.action
        and _flag_rank(rule.do) >= _flag_rank(other.do)
        and covers(region(rule), region(other))
        and _acts_from(rule) <= _acts_from(other)
        and rule.buffers >= other.buffers
        and (other.do.action is not rule.do.action or not _weakens(other.do, rule.do))
        and not any(change.effect is Effect.WEAKER for change in _on_error(other, rule))
    )


def _weakens(before: Do, after: Do) -> bool:
    return any(change.effect is Effect.WEAKER for change in _do("", before, after))


def _edited(before: Rule, after: Rule) -> list[Change]:
    """`before` is the old rule under the new thresholds, so that what a detector moved is not told twice."""
    turns = [*_mode(before, after), *_action(before, after)]
    rest = [*_on(before, after), *_when(before, after), *_do(before.id, before.do, after.do)]
    rest += [*_on_error(before, after), *_stream(before, after)]
    if before.relaxes and before.relaxes == after.relaxes and _reach_of(before) != _reach_of(after):
        told = (before.id, "relaxes", before.relaxes, after.relaxes)
        rest.append(Change("rule", *told, Effect.WEAKER, "the exception from it is another one"))
    turns += _relaxing(before.id, before.relaxes, after.relaxes)
    if not _decides(before):
        rest = _without_effect(rest, "it decided nothing before")
    if not _decides(after):
        rest = _without_effect(rest, _idle(after))
        turns = turns if _decides(before) else _without_effect(turns, _idle(after))
    return [*turns, *rest]


def _reach_of(rule: Rule) -> tuple[frozenset[Scope], Matcher]:
    return rule.scopes, region(rule)


def _without_effect(changes: list[Change], reason: str) -> list[Change]:
    return [replace(change, effect=Effect.OTHER, reason=reason) for change in changes]


def _action(before: Rule, after: Rule) -> list[Change]:
    was, now = before.do.action, after.do.action
    if was is now:
        return []
    effect = Effect.STRONGER if now > was else Effect.WEAKER
    reason = f"`{now.name.lower()}` is {'stricter' if now > was else 'less strict'} than `{was.name.lower()}`"
    return [Change("rule", before.id, "action", was.name.lower(), now.name.lower(), effect, reason)]


def _mode(before: Rule, after: Rule) -> list[Change]:
    if before.mode is after.mode and before.until == after.until:
        return []
    was, now = _acts_from(before), _acts_from(after)
    effect = Effect.STRONGER if now < was else Effect.WEAKER if now > was else Effect.OTHER
    reasons = {
        Effect.STRONGER: "it acts now" if after.mode is Mode.ENFORCE else "it acts sooner",
        Effect.WEAKER: "it only leaves a note now" if before.mode is Mode.ENFORCE else "it acts later",
        Effect.OTHER: "it acts no sooner and no later",
    }
    return [Change("rule", before.id, "mode", _told_mode(before), _told_mode(after), effect, reasons[effect])]


def _acts_from(rule: Rule) -> int:
    """When it begins to act; a rule in shadow without a day never does."""
    return 0 if rule.mode is Mode.ENFORCE else rule.until or 10**12


def _told_mode(rule: Rule) -> str:
    return f"{rule.mode} until {day_of(rule.until)}" if rule.until else str(rule.mode)


def _on_error(before: Rule, after: Rule) -> list[Change]:
    was = (before.on_error, before.risk, before.people)
    return diff_on_error(("rule", before.id), was, (after.on_error, after.risk, after.people))


def _stream(before: Rule, after: Rule) -> list[Change]:
    words, shown = ("answers leave whole", "answers leave as the defaults say"), ("buffer", "defaults")
    numbers, told = (before.buffers, after.buffers), (shown[not before.buffers], shown[not after.buffers])
    return moved("rule", before.id, "stream", numbers, told, Effect.STRONGER, words)


def _on(before: Rule, after: Rule) -> list[Change]:
    changes = []
    lost, gained = sorted(before.scopes - after.scopes), sorted(after.scopes - before.scopes)
    if lost:
        reason = "it no longer looks there"
        changes.append(Change("rule", before.id, "scopes lost", ", ".join(lost), "", Effect.WEAKER, reason))
    if gained:
        reason = "it looks there as well"
        changes.append(Change("rule", before.id, "scopes gained", "", ", ".join(gained), Effect.STRONGER, reason))
    return changes


def _when(before: Rule, after: Rule) -> list[Change]:
    was, now = region(before), region(after)
    more, less = covers(now, was), covers(was, now)
    if more and less:
        return []
    effect = Effect.STRONGER if more else Effect.WEAKER
    reason = "it matches more" if more else "it matches less" if less else "what it matched it may match no longer"
    return [Change("rule", before.id, "condition", condition(before), condition(after), effect, reason)]


def _do(id_: str, before: Do, after: Do) -> list[Change]:
    changes = []
    if _flag_rank(before) != _flag_rank(after):
        is_louder = _flag_rank(after) > _flag_rank(before)
        effect = Effect.STRONGER if is_louder else Effect.WEAKER
        words = _flag(before), _flag(after)
        reason = "people hear of it with more urgency" if is_louder else "people hear of it with less urgency, or not"
        changes.append(Change("rule", id_, "flag", *words, effect, reason))
    elif before.queue != after.queue:
        changes += renamed("rule", id_, "queue", before.queue, after.queue, "who hears of it")
    changes += _note(id_, before.field, after.field)
    changes += _removal(id_, before, after)
    texts: Mapping[str, tuple[str, str, str]] = {
        "code": (before.code, after.code, "what the client's program reads"),
        "message": (before.message, after.message, "what the client reads"),
        "dialect": (before.dialect or USUAL, after.dialect or USUAL, "in which form the client is told"),
        "replacement": (before.replacement, after.replacement, "what stands where something was removed"),
    }
    for aspect, (was, now, reason) in texts.items():
        changes += renamed("rule", id_, aspect, was, now, reason)
    return changes


def _note(id_: str, before: str, after: str) -> list[Change]:
    if before and not after:
        return [Change("rule", id_, "annotate", before, "", Effect.WEAKER, "records are no longer marked with it")]
    return renamed("rule", id_, "annotate", before, after, "what records are marked with")


def _removal(id_: str, before: Do, after: Do) -> list[Change]:
    """What stays of something that is removed, and where."""
    yes = {True: "yes", False: "no"}
    changes: list[Change] = []
    if before.action is after.action is Action.REPLACE and bool(before.template) != bool(after.template):
        told = ("the answer", "the part")
        reasons = ("all of the answer is the policy's", "only the part is replaced")
        numbers, shown = (
            (bool(before.template), bool(after.template)),
            (told[not before.template], told[not after.template]),
        )
        changes += moved("rule", id_, "replaces", numbers, shown, Effect.STRONGER, reasons)
    changes += moved(
        *("rule", id_, "require_seed"),
        *((before.require_seed, after.require_seed), (yes[before.require_seed], yes[after.require_seed])),
        *(Effect.STRONGER, ("it needs a seed", "it needs no seed")),
    )
    if before.review and after.review:
        changes += diff_reviews(("rule", id_), before.review, after.review)
    for name, old, new in (("model", before.model, after.model), ("engine", before.engine, after.engine)):
        if before.model and after.model and old != new:
            reason = "what another model answers cannot be compared without measuring it"
            changes.append(Change("rule", id_, name, old or "any", new or "any", Effect.WEAKER, reason))
    if before.template and after.template:
        changes += renamed("rule", id_, "template", before.template, after.template, "which text is the answer")
    for aspect, was, now, more_is, reasons in (
        (
            *("before_audit", before.before_audit, after.before_audit, Effect.STRONGER),
            ("it is kept nowhere", "it may be kept, sealed"),
        ),
        (
            *("reversible", before.reversible, after.reversible, Effect.WEAKER),
            ("it comes back in the answer", "it no longer comes back"),
        ),
    ):
        changes += moved("rule", id_, aspect, (was, now), (yes[was], yes[now]), more_is, reasons)
    counts = (shown_of(before.replacement), shown_of(after.replacement))
    if before.action is after.action is Action.REDACT:
        told = (f"{counts[0]} characters", f"{counts[1]} characters")
        reasons = ("more of what is found is shown", "less of what is found is shown")
        changes += moved("rule", id_, "shown", counts, told, Effect.WEAKER, reasons)
    return changes


def _flag_rank(do: Do) -> int:
    return 1 + SEVERITIES.index(do.severity) if do.queue else 0


def _flag(do: Do) -> str:
    return f"{do.queue} {do.severity}" if do.queue else "none"
