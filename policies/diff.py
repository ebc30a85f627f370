"""What differs between two policies in what they mean, each difference with the way it goes.

A pure function of two loaded policies, so spelling, comments and the order of rules do not show. It compares what is
decided when every guard answers, and errs to one side only: a change that is not shown to be harmless is `weaker`
(policies/changes.py). What passes because some rule looks at it is compared by scope, since the rules share that work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from guards.verdict import Scope
from policies.changes import About, Change, Effect
from policies.compare import NEVER, coverage, covers, region
from policies.diff_actions import diff_actions, loudness
from policies.diff_defaults import diff_limits, diff_streams
from policies.diff_detectors import diff_detectors, follows
from policies.diff_reviews import diff_on_error, diff_uncovered
from policies.errors import Place
from policies.keeping import diff_keeping
from policies.matchers import ALWAYS, Matcher
from policies.model import Action, Do, Mode, Policy, Rule
from policies.read_times import day_of
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
            About("policy", "on_error"),
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
    edited_detectors = {name: (before.detectors[name], after.detectors[name]) for name in shared}
    for rule, edited in both:
        changes += _edited(follows(rule, edited_detectors), edited)
    added = [now[id_] for id_ in sorted(now.keys() - was.keys())]
    changes += [_removed(was[id_], added) for id_ in sorted(was.keys() - now.keys())]
    changes += [change for rule in added for change in _added(rule)]
    return Difference(tuple(sorted(changes)))


def _identity(before: Policy, after: Policy) -> list[Change]:
    said = {
        "name": (before.name, after.name),
        "version": (before.version, after.version),
        "owner": (before.owner, after.owner),
        "regimes": (", ".join(before.regimes), ", ".join(after.regimes)),
    }
    return [
        change
        for key, (was, now) in said.items()
        for change in About("policy", key).renamed(key, was, now, "informative")
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


def _about(rule: Rule) -> About:
    return About("rule", rule.id)


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
    return [_added_itself(rule), *_relaxing(_about(rule), "", rule.relaxes)]


def _relaxing(about: About, before: str, after: str) -> list[Change]:
    """An exception from another rule."""
    if before == after:
        return []
    if after:
        reason = f"`{after}` does not hold where this rule matches"
        return [about.change("relaxes", before, after, Effect.WEAKER, reason)]
    return [about.change("relaxes", before, after, Effect.STRONGER, f"`{before}` holds there as well")]


def _added_itself(rule: Rule) -> Change:
    effect, reason = (Effect.STRONGER, "it decides more") if _decides(rule) else (Effect.OTHER, _idle(rule))
    return _about(rule).change("added", "", _described(rule), effect, reason)


def _removed(rule: Rule, added: list[Rule]) -> Change:
    """Renaming a rule is no weakening: an added one may do all that it did."""
    effect, reason = Effect.WEAKER, f"nothing does what it did: {doing(rule.do)}"
    if not _decides(rule):
        effect, reason = Effect.OTHER, _idle(rule)
    elif heirs := [other.id for other in added if _does_all_of(other, rule)]:
        effect, reason = Effect.OTHER, f"added rule `{heirs[0]}` does at least as much"
    return _about(rule).change("removed", _described(rule), "", effect, reason)


def _does_all_of(rule: Rule, other: Rule) -> bool:
    return (
        _decides(rule)
        and other.scopes <= rule.scopes
        and rule.do.action >= other.do.action
        and loudness(rule.do) >= loudness(other.do)
        and covers(region(rule), region(other))
        and _acts_from(rule) <= _acts_from(other)
        and rule.buffers >= other.buffers
        and (other.do.action is not rule.do.action or not _weakens(other.do, rule.do))
        and not any(change.effect is Effect.WEAKER for change in _on_error(other, rule))
    )


def _weakens(before: Do, after: Do) -> bool:
    return any(change.effect is Effect.WEAKER for change in diff_actions(About("rule", ""), before, after))


def _edited(before: Rule, after: Rule) -> list[Change]:
    """`before` is the old rule under the new thresholds, so that what a detector moved is not told twice."""
    turns = [*_mode(before, after), *_action(before, after)]
    rest = [*_on(before, after), *_when(before, after), *diff_actions(_about(before), before.do, after.do)]
    rest += [*_on_error(before, after), *_stream(before, after)]
    if before.relaxes and before.relaxes == after.relaxes and _reach_of(before) != _reach_of(after):
        reason = "the exception from it is another one"
        rest.append(_about(before).change("relaxes", before.relaxes, after.relaxes, Effect.WEAKER, reason))
    turns += _relaxing(_about(before), before.relaxes, after.relaxes)
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
    return [_about(before).change("action", was.name.lower(), now.name.lower(), effect, reason)]


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
    return [_about(before).change("mode", _told_mode(before), _told_mode(after), effect, reasons[effect])]


def _acts_from(rule: Rule) -> int:
    """When it begins to act; a rule in shadow without a day never does."""
    return 0 if rule.mode is Mode.ENFORCE else rule.until or 10**12


def _told_mode(rule: Rule) -> str:
    return f"{rule.mode} until {day_of(rule.until)}" if rule.until else str(rule.mode)


def _on_error(before: Rule, after: Rule) -> list[Change]:
    was = (before.on_error, before.risk, before.people)
    return diff_on_error(_about(before), was, (after.on_error, after.risk, after.people))


def _stream(before: Rule, after: Rule) -> list[Change]:
    return _about(before).moved(
        "stream",
        before.buffers,
        after.buffers,
        more_is=Effect.STRONGER,
        up="answers leave whole",
        down="answers leave as the defaults say",
        shown=lambda buffers: "buffer" if buffers else "defaults",
    )


def _on(before: Rule, after: Rule) -> list[Change]:
    changes = []
    lost, gained = sorted(before.scopes - after.scopes), sorted(after.scopes - before.scopes)
    if lost:
        reason = "it no longer looks there"
        changes.append(_about(before).change("scopes lost", ", ".join(lost), "", Effect.WEAKER, reason))
    if gained:
        reason = "it looks there as well"
        changes.append(_about(before).change("scopes gained", "", ", ".join(gained), Effect.STRONGER, reason))
    return changes


def _when(before: Rule, after: Rule) -> list[Change]:
    was, now = region(before), region(after)
    more, less = covers(now, was), covers(was, now)
    if more and less:
        return []
    effect = Effect.STRONGER if more else Effect.WEAKER
    reason = "it matches more" if more else "it matches less" if less else "what it matched it may match no longer"
    return [_about(before).change("condition", condition(before), condition(after), effect, reason)]
