"""Checks of what a policy promises as a whole: to stop, to keep, to have people look; and of what it gives up.

Some need to know the gateway that the policy is for (policies/site.py): without it they say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from guards.verdict import Scope
from policies.actions import Action, Review, Risk
from policies.errors import Place
from policies.matchers import ALWAYS
from policies.model import DetectorSpec, Rule
from policies.read_times import day_of
from policies.remarks import Remarks
from policies.settings import STREAMED_SCOPES
from policies.sheet import Sheet
from policies.site import DAY_S
from policies.spoken import duration

BUDGET_MS: Final = 60_000
"""What the guards of one scope may take together before somebody who waits has gone."""
MOST_CHOICES: Final = 4
_INJECTION: Final = ("injection", "prompt_guard")
"""In the name of a guard, or of its profile, that knows attacks."""
_ATTACKED: Final = (Scope.USER, Scope.TOOL_RESULT)
FLOORS: Final[Mapping[str, int]] = {
    "hipaa": 6 * 365,
    "sec-17a-4": 6 * 365,
    "finra": 6 * 365,
    "pci-dss": 365,
    "eu-ai-act": 183,
}
"""Days for which a regime wants records of this kind to be there."""
_AUTH_DATA: Final = ("cvv", "cvc", "cid", "pin", "track", "security code")
"""What PCI DSS 3.3 never lets be stored after authorisation, as detectors of it are called or look for it."""


def no_injection_rule(sheet: Sheet) -> Iterator[Remarks]:
    """Text that comes from outside, and nothing that knows attacks looks at it."""
    knowing = {name for name, spec in sheet.policy.detectors.items() if _knows_attacks(sheet, spec)}
    for scope in _ATTACKED:
        acting = list(sheet.acting(scope))
        is_read = any(rule.detectors() & knowing or _stops_all(rule) for rule in acting)
        if acting and not is_read:
            told = f"no acting rule asks a detector of injections about `{scope}`"
            yield sheet.rule(acting[0], "on"), told, "add one, such as `prompt_guard_2_86m` or `starter_injection`"


def _stops_all(rule: Rule) -> bool:
    return rule.do.action is Action.BLOCK and rule.when == ALWAYS and rule.unless is None


def _knows_attacks(sheet: Sheet, spec: DetectorSpec) -> bool:
    facts = sheet.known.get(spec.use)
    names = (spec.use, facts.profile.use if facts and facts.profile else "")
    return any(word in name for word in _INJECTION for name in names)


def late_block(sheet: Sheet) -> Iterator[Remarks]:
    """What has left cannot be taken back: a block in a stream ends an answer of which some was read."""
    if sheet.policy.stream.mode != "window":
        return
    for rule in sheet.acting():
        is_late = rule.do.action is Action.BLOCK and rule.scopes & STREAMED_SCOPES and not rule.buffers
        if is_late and not sheet.rule_says(rule, "stream"):
            told = f"rule `{rule.id}` may block an answer of which windows have left already"
            yield sheet.rule(rule, "do"), told, "`stream: {mode: window}` says that this is meant; `buffer` prevents it"


def judged_afterwards(sheet: Sheet) -> Iterator[Remarks]:
    """Streams of which nothing is ever stopped."""
    if sheet.policy.stream.mode != "shadow_only":
        return
    idle = [rule.id for rule in sheet.acting() if rule.scopes & STREAMED_SCOPES and _would_stop(rule)]
    told = "streamed answers leave before they are judged"
    told += f": {', '.join(f'`{id_}`' for id_ in idle)} can only be noted" if idle else ""
    yield sheet.stream("mode"), told, "use `window` or `buffer` when the trial is over"


def _would_stop(rule: Rule) -> bool:
    return not rule.buffers and rule.do.action > Action.FLAG


def uncovered_allowed(sheet: Sheet) -> Iterator[Remarks]:
    """Parts that pass although no rule looks at them."""
    risk = sheet.policy.uncovered
    if risk is not None:
        told = f"parts that no rule looks at pass until {day_of(risk.until)} ({risk.ticket})"
        yield sheet.default("uncovered"), told, "cover what is meant to pass, and say `deny`"


def risk_over(sheet: Sheet) -> Iterator[Remarks]:
    """The day until which somebody accepted it has passed, so it is closed again."""
    policy = sheet.policy
    found: list[tuple[Place, str, Risk | None]] = []
    found.append((sheet.default("accept_risk"), "`defaults`", policy.risk or policy.uncovered))
    for name, spec in policy.detectors.items():
        found += [(sheet.detector(name, "accept_risk"), f"detector `{name}`", spec.risk)]
    for rule in policy.rules:
        found += [(sheet.rule(rule, "accept_risk"), f"rule `{rule.id}`", rule.risk)]
        reviews = [review for review in (rule.do.review, rule.people) if review is not None]
        found += [(sheet.rule(rule, "do"), f"the review of rule `{rule.id}`", review.risk) for review in reviews]
    for place, what, risk in found:
        if risk is not None and risk.until <= sheet.site.at:
            told = f"what {what} accepts was accepted until {day_of(risk.until)} ({risk.ticket})"
            yield place, told, "have it accepted anew, or remove it"


def slow(sheet: Sheet) -> Iterator[Remarks]:
    """Guards of one scope that may take longer together than anybody waits."""
    for scope in Scope:
        asked = sheet.policy.detectors_for(scope)
        models = [spec for spec in asked if sheet.known[spec.use].is_model]
        total = sum(spec.timeout_ms for spec in models)
        if total > BUDGET_MS:
            worst = max(models, key=lambda spec: (spec.timeout_ms, spec.name))
            told = f"guards of `{scope}` may take {duration(total)} together, and {duration(BUDGET_MS)} is the budget"
            yield sheet.detector(worst.name, "timeout"), told, "shorten `timeout`, or ask fewer models"
            return


def retention_floor(sheet: Sheet) -> Iterator[Remarks]:
    """Text that is gone before a regime of the policy lets it go."""
    kept_s = sheet.site.classes.get(sheet.policy.audit.retention, 0) if sheet.policy.audit.keeps else 0
    floors = [(FLOORS[name], name) for name in sheet.policy.regimes if name in FLOORS]
    days, regime = max(floors, default=(0, ""))
    if 0 < kept_s < days * DAY_S:
        told = f"`{sheet.policy.audit.retention}` keeps text for {kept_s // DAY_S} days, and `{regime}` wants {days}"
        yield sheet.default("audit"), told, "name a class that keeps it longer"


def auth_data_kept(sheet: Sheet) -> Iterator[Remarks]:
    """Sensitive authentication data that would lie, sealed, where PCI DSS lets none lie."""
    policy = sheet.policy
    if "pci-dss" not in policy.regimes or not policy.audit.keeps:
        return
    named = {name for name, spec in policy.detectors.items() if _finds_auth_data(spec)}
    rules = [rule for rule in sheet.acting() if rule.detectors() & named]
    if not any(rule.do.before_audit for rule in rules):
        hint = "redact it with `before_audit: true`"
        place = sheet.rule(rules[0], "do") if rules else sheet.default("audit")
        told = f"rule `{rules[0].id}` finds" if rules else "no rule finds"
        yield place, f"{told} security codes, and text is kept: `pci-dss` lets none be kept, not even sealed", hint


def _finds_auth_data(spec: DetectorSpec) -> bool:
    said = [spec.name, *(str(value) for value in spec.options.values())]
    return any(word in text.lower() for word in _AUTH_DATA for text in said)


def quorum_too_high(sheet: Sheet) -> Iterator[Remarks]:
    """More people than there are."""
    count = sheet.site.people
    for rule in sheet.acting() if count else ():
        for review, key in ((rule.do.review, "do"), (rule.people, "on_error")):
            if isinstance(review, Review) and count is not None and count(review.queue) < review.quorum:
                there = count(review.queue)
                told = f"rule `{rule.id}` wants {review.quorum} people of `{review.queue}`, which has {there}"
                yield sheet.rule(rule, key), told, "name more reviewers under `operators`, or lower `quorum`"


def no_such_route(sheet: Sheet) -> Iterator[Remarks]:
    """The policy would not come into force there."""
    nowhere = sheet.site.nowhere
    for rule in sheet.acting() if nowhere else ():
        if rule.do.model and nowhere is not None and (why := nowhere(rule.do.model, rule.do.engine)):
            told = f"rule `{rule.id}` routes to {why}"
            yield sheet.rule(rule, "do"), told, "name it under `engines`, or route to another"


def no_negative_test(sheet: Sheet) -> Iterator[Remarks]:
    """Every test that says which rules decide expects this one: that it lets anything pass was never tried."""
    expected = [case.expect for case in sheet.policy.cases]
    named = [frozenset(one.rules or ((one.rule,) if one.rule else ())) for one in expected]
    told = [rules for rules in named if rules]
    if not told or any(one.action == "allow" for one in expected):
        return
    always = frozenset.intersection(*told)
    for rule in sheet.acting():
        if rule.id in always:
            yield sheet.rule(rule), f"no test expects that rule `{rule.id}` does not decide", "write one that passes"


def model_unpinned(sheet: Sheet) -> Iterator[Remarks]:
    """A server may have other weights tomorrow; our own model host checks a digest at each start."""
    for name, spec in sheet.policy.detectors.items():
        if spec.use in sheet.site.remote:
            told = f"`{name}` is judged by a server, and nothing here checks which weights it has"
            yield (
                sheet.detector(name, "use"),
                told,
                "run it in the model host, or pin the weights at the server",
            )


def unused_template(sheet: Sheet) -> Iterator[Remarks]:
    """A text that no rule gives; a policy that others stand on may have it for them."""
    for name in sorted(sheet.policy.templates.keys() - {rule.do.template for rule in sheet.policy.rules}):
        yield sheet.top("templates"), f"template `{name}` is used by no rule", "use it or remove it"


def many_choices(sheet: Sheet) -> Iterator[Remarks]:
    """Each choice is another try at getting past the guards."""
    n = sheet.policy.limits.n
    if n > MOST_CHOICES:
        told = f"`n` admits {n} choices of one answer, each another try to get past the guards"
        yield sheet.default("limits"), told, f"admit at most {MOST_CHOICES}"


PROMISE_CHECKS: Final[Mapping[str, Callable[[Sheet], Iterator[Remarks]]]] = {
    "no-injection-rule": no_injection_rule,
    "late-block": late_block,
    "judged-afterwards": judged_afterwards,
    "uncovered-allowed": uncovered_allowed,
    "risk-over": risk_over,
    "slow": slow,
    "retention-floor": retention_floor,
    "auth-data-kept": auth_data_kept,
    "quorum-too-high": quorum_too_high,
    "no-such-route": no_such_route,
    "no-negative-test": no_negative_test,
    "model-unpinned": model_unpinned,
    "unused-template": unused_template,
    "many-choices": many_choices,
}
