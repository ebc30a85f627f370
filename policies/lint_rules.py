"""Checks of rules: which can never act, which act where nobody meant it, which nobody has tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from guards.verdict import Scope
from policies.compare import covers
from policies.lint_index import MOST
from policies.matchers import asks
from policies.model import Action, Mode, Rule
from policies.remarks import Remarks
from policies.sheet import Sheet, deed
from policies.vocabulary import CLIENT_CLAIMS, TEXT_SCOPES


def never_matches(sheet: Sheet) -> Iterator[Remarks]:
    """`unless` holds wherever `when` does."""
    for rule in sheet.policy.rules:
        if rule.unless is not None and covers(rule.unless, rule.when):
            told = f"rule `{rule.id}` can never match: its `unless` holds wherever its `when` does"
            yield sheet.rule(rule, "unless"), told, "narrow `unless`"


def never_decides(sheet: Sheet) -> Iterator[Remarks]:
    """A stricter rule matches wherever this one does, and it leaves no flag."""
    for rule in sheet.acting():
        if rule.do.queue:
            continue
        stricter = [action for action in Action if action > rule.do.action]
        relaxed = rule.relaxes
        found = sheet.by_action.first(rule, stricter, lambda one, relaxed=relaxed: one.id != relaxed)  # type: ignore[misc]
        if found:
            told = f"rule `{rule.id}` never decides: `{found.id}` is stricter and matches wherever it does"
            yield sheet.rule(rule), told, "remove it, or narrow the other"


def repeated(sheet: Sheet) -> Iterator[Remarks]:
    """Another rule does the same wherever this one does."""
    for rule in sheet.acting():

        def is_another(one: Rule, rule: Rule = rule) -> bool:
            return one is not rule and (one.id < rule.id or not _goes_wherever(sheet, rule, one))

        found = sheet.by_deed.first(rule, [deed(rule)], is_another)
        if found:
            told = f"rule `{rule.id}` does what `{found.id}` does wherever it matches"
            yield sheet.rule(rule), told, "remove it, or say with `code` why it is apart and narrow the other"


def shadow_tells_nothing(sheet: Sheet) -> Iterator[Remarks]:
    """A trial of what an enforcing rule does already."""
    for rule in sheet.policy.rules:
        if rule.mode is not Mode.SHADOW or rule.until is not None:
            continue
        as_strict = [action for action in Action if action >= rule.do.action]
        done = sheet.by_action.first(rule, as_strict, lambda one: True)
        if done:
            told = f"shadow rule `{rule.id}` can show nothing: `{done.id}` does as much wherever it matches"
            yield sheet.rule(rule, "mode"), told, "remove it"


def too_many_alike(sheet: Sheet) -> Iterator[Remarks]:
    """What was not compared may be repeated all the same; and a list would be shorter."""
    crowded = [rule for rule in sheet.acting() if sheet.by_deed.is_crowded(rule, [deed(rule)])]
    if crowded:
        told = f"{len(crowded)} rules ask much the same as more than {MOST} others do: not each was compared with each"
        yield sheet.rule(crowded[0]), told, "write values as one list, in one rule"


def _goes_wherever(sheet: Sheet, rule: Rule, other: Rule) -> bool:
    return other.scopes <= rule.scopes and covers(sheet.regions[rule.id], sheet.regions[other.id])


def only_allowed(sheet: Sheet) -> Iterator[Remarks]:
    """Text that passes because a rule allows it and no other looks."""
    for scope in sorted(TEXT_SCOPES):
        allowing = [rule for rule in sheet.policy.plan(scope).enforcing if rule.do.action is Action.ALLOW]
        if allowing and not any(sheet.acting(scope)):
            told = f"`{scope}` passes unread: only rule `{allowing[0].id}` covers it, and it allows"
            yield sheet.rule(allowing[0], "on"), told, f"look at `{scope}` with a detector, or leave it out"


def refused_scope(sheet: Sheet) -> Iterator[Remarks]:
    """Parts of which every one is refused. Pictures count where some are admitted at all."""
    scopes = [*sorted(TEXT_SCOPES), *([Scope.IMAGE] if sheet.policy.limits.images else [])]
    for scope in scopes if sheet.policy.uncovered is None else ():
        if not sheet.policy.plan(scope).enforcing:
            told = f"no enforcing rule looks at `{scope}`, so every request or answer with it is refused"
            yield sheet.start, told, "cover it if it is meant to pass"


def reasoning_unread(sheet: Sheet) -> Iterator[Remarks]:
    """What is looked for in answers and not in the reasoning that a client may read as well."""
    read = frozenset[str]().union(*(rule.detectors() for rule in sheet.acting(Scope.REASONING)))
    if not sheet.policy.plan(Scope.REASONING).enforcing:
        return
    for rule in sheet.acting(Scope.OUTPUT):
        if missing := sorted(rule.detectors() - read):
            told = f"rule `{rule.id}` asks `{missing[0]}` about `output`, and no acting rule asks it about `reasoning`"
            yield sheet.rule(rule, "on"), told, "add `reasoning`"


def without_message(sheet: Sheet) -> Iterator[Remarks]:
    """The client is told a code and nothing that a person could read."""
    for rule in sheet.acting():
        if rule.do.action is Action.BLOCK and not rule.do.message:
            yield sheet.rule(rule, "do"), f"rule `{rule.id}` blocks without a `message`", "say what the client reads"


def untested(sheet: Sheet) -> Iterator[Remarks]:
    """No test names the rule."""
    cases = sheet.policy.cases
    if not cases:
        yield sheet.start, "the policy has no tests", "write one that passes and one that does not for each rule"
        return
    named = {case.expect.rule for case in cases} | {id_ for case in cases for id_ in case.expect.rules or ()}
    shadow = {id_ for case in cases for id_ in case.expect.shadow or ()}
    for rule in sheet.policy.rules:
        if rule.id not in (named if rule.mode is Mode.ENFORCE else named | shadow):
            yield sheet.rule(rule), f"no test expects rule `{rule.id}`", "write one"


def flag_can_stop(sheet: Sheet) -> Iterator[Remarks]:
    """`on_error: closed` holds for notes, too."""
    asked = {
        scope: frozenset[str]().union(*(one.detectors() for one in sheet.acting(scope) if one.do.action > Action.FLAG))
        for scope in Scope
    }
    for rule in sheet.acting():
        if rule.do.action is not Action.FLAG:
            continue
        for scope in sorted(rule.scopes):
            alone = sorted(rule.detectors() - asked[scope])
            models = [name for name in alone if sheet.known[sheet.policy.detectors[name].use].is_model]
            if models:
                told = f"rule `{rule.id}` only flags, yet no verdict of `{models[0]}` on `{scope}` stops the exchange"
                yield sheet.rule(rule), told, "mean it, or use mode `shadow`"
                break


def client_chooses(sheet: Sheet) -> Iterator[Remarks]:
    """What the client asks for, or may say of itself; tenant, app and claims of the site come from the key."""
    for rule in sheet.acting():
        for name in ("model", *CLIENT_CLAIMS):
            if asks(sheet.regions[rule.id], (name,)):
                told = f"rule `{rule.id}` depends on `{name}`, which the client chooses"
                hint = "use `tenant` or `app`, or hold for every model"
                if name != "model":
                    told = f"rule `{rule.id}` depends on `{name}`, which a client may claim where its key lets it"
                    hint = "use `tenant` or `app`, or set the claim with the key"
                yield sheet.rule(rule), told, hint
                break


def requester_may_approve(sheet: Sheet) -> Iterator[Remarks]:
    """Four eyes are four only if they are not those of the one who asked."""
    for rule in sheet.acting():
        if rule.do.review is not None and not rule.do.review.distinct:
            told = f"rule `{rule.id}` lets whoever asked approve"
            yield sheet.rule(rule, "do"), told, "add `distinct_from: requester`"


RULE_CHECKS: Final[Mapping[str, Callable[[Sheet], Iterator[Remarks]]]] = {
    "never-matches": never_matches,
    "never-decides": never_decides,
    "repeated": repeated,
    "shadow-tells-nothing": shadow_tells_nothing,
    "too-many-alike": too_many_alike,
    "only-allowed": only_allowed,
    "refused-scope": refused_scope,
    "reasoning-unread": reasoning_unread,
    "without-message": without_message,
    "untested": untested,
    "flag-can-stop": flag_can_stop,
    "client-chooses": client_chooses,
    "requester-may-approve": requester_may_approve,
}
