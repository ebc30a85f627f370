"""An explanation for people, a line for each rule, and as JSON, with every condition. Neither holds judged text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gateway.jsonstrict import Json
from gateway.replay import CLEAN
from policies.explain import Condition, Explanation, Heard, Outcome, PartSeen, RuleSeen
from policies.model import Mode
from policies.spoken import doing, share

_MARKS = {
    Outcome.MATCHED: "yes",
    Outcome.NOT_MATCHED: "no",
    Outcome.HANGS: "?",
    Outcome.GIVES_WAY: "~",
    Outcome.WAITS: "…",
}
_HOLDS = {True: "yes", False: "no", None: "unknown"}


def as_text(explained: Explanation) -> str:
    """The decision, then each part with the rules that look at it."""
    lines = [_headline(explained)]
    for rule, action in explained.decision.shadow:
        lines.append(f"off: `{rule}`" if action == "off" else f"shadow: `{rule}` would do {action}")
    lines += [f"accepted risk {ticket}: `{rule}` gives way" for rule, ticket in explained.decision.opened]
    for _, same in groupby(explained.parts, _looks):
        parts = list(same)
        lines += _part(parts[0], len(parts))
    return "\n".join(lines)


def _headline(explained: Explanation) -> str:
    decision = explained.decision
    if explained.unasked:
        return f"undecided: it hangs on {', '.join(explained.unasked)}, not asked"
    said = " ".join(filter(None, (decision.action.name.lower(), decision.code)))
    said += f", status {decision.status}" if decision.status != 200 else ""
    said += f", by {', '.join(decision.rules)}" if decision.rules else ""
    said += f"; people are asked for want of a verdict ({', '.join(decision.hanging)})" if decision.hanging else ""
    return said + (f"; no rule looks at {', '.join(decision.uncovered)}" if decision.uncovered else "")


def _looks(part: PartSeen) -> object:
    """Clean parts of a record have no path: those of a scope are told together."""
    return part.scope if part.path.startswith(CLEAN) else part.path


def _part(part: PartSeen, count: int) -> Iterator[str]:
    if part.path.startswith(CLEAN):
        name = f"{count} part{'s' if count > 1 else ''} of `{part.scope}` in which nothing was found"
    else:
        name = f"{part.path} ({part.scope})"
    yield ""
    fate = "passes by an accepted risk" if part.is_accepted else "refused"
    yield name if part.is_covered else f"{name}: {fate}, no enforcing rule looks at it"
    width = max((len(seen.rule.id) for seen in part.rules), default=0)
    for seen in part.rules:
        yield f"  {_MARKS[seen.outcome]:<4}{seen.rule.id:<{width}}  {_rule(seen)}"


def _rule(seen: RuleSeen) -> str:
    rule = seen.rule
    said = f"{'' if rule.mode is Mode.ENFORCE else f'{rule.mode} '}{doing(rule.do)} when {_condition(seen.when)}"
    said += f", unless {_condition(seen.unless)}" if seen.unless else ""
    return said + ("   <- decides" if seen.decides else "")


def _condition(condition: Condition) -> str:
    if condition.kind == "one":
        return condition.text + (f" [{condition.value}]" if condition.value else "")
    if condition.kind == "not":
        return f"not ({_condition(condition.inner[0])})"
    word = " and " if condition.kind == "all" else " or "
    return word.join(
        f"({_condition(one)})" if one.kind in ("all", "any") else _condition(one) for one in condition.inner
    )


def as_json(explained: Explanation) -> dict[str, Json]:
    """Stable names: `decision`, `undecided`, `parts`."""
    decision = explained.decision
    return {
        "decision": {
            "action": decision.action.name.lower(),
            "rules": list(decision.rules),
            "code": decision.code,
            "status": decision.status,
            "flags": [{"rule": one.rule, "queue": one.queue, "severity": one.severity} for one in decision.flags],
            "shadow": [{"rule": rule, "action": action} for rule, action in decision.shadow],
            "errors": [{"detector": name, "kind": str(kind)} for name, kind in decision.errors],
            "uncovered": list(decision.uncovered),
            "hanging": list(decision.hanging),
            "opened": [{"rule": rule, "ticket": ticket} for rule, ticket in decision.opened],
        },
        "undecided": list(explained.unasked),
        "parts": [_part_json(part) for part in explained.parts],
    }


def _part_json(part: PartSeen) -> Json:
    return {
        "path": None if part.path.startswith(CLEAN) else part.path,
        "scope": str(part.scope),
        "covered": part.is_covered,
        "detectors": [_heard_json(one) for one in part.heard],
        "rules": [_rule_json(one) for one in part.rules],
        "not_asked": list(part.not_asked),
    }


def _heard_json(heard: Heard) -> Json:
    verdict = heard.verdict
    if verdict is None:
        return {"detector": heard.detector, "error": str(heard.error)}
    return {
        "detector": heard.detector,
        "score": share(verdict.score_ppm),
        "categories": {code: share(score) for code, score in verdict.categories},
        "count": len(verdict.spans),
        "view": verdict.view,
    }


def _rule_json(seen: RuleSeen) -> Json:
    rule = seen.rule
    return {
        "rule": rule.id,
        "mode": str(rule.mode),
        "action": rule.do.action.name.lower(),
        "outcome": seen.outcome.name.lower(),
        "decides": seen.decides,
        "when": _condition_json(seen.when),
        "unless": _condition_json(seen.unless) if seen.unless else None,
    }


def _condition_json(condition: Condition) -> Json:
    said: dict[str, Json] = {"kind": condition.kind, "holds": _HOLDS[condition.holds]}
    if condition.kind == "one":
        return said | {"condition": condition.text, "value": condition.value}
    return said | {"inner": [_condition_json(one) for one in condition.inner]}
