"""What a policy gives up, or promises and cannot keep, is told at its line; what is as it should be is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.lint import lint
from policies.lint_promises import BUDGET_MS, PROMISE_CHECKS
from policies.site import Site
from tests.policies.build import document

RISK = "accept_risk: {by: ciso, ticket: R-1, until: 2026-12-31}"
DETECTORS = "inject: {use: starter_injection, threshold: 0.5%s}\nharm: {use: starter_hazard, threshold: 0.5%s}\n"
EITHER = "{any: [{inject: {unsafe: true}}, {harm: {unsafe: true}}]}"
IN = f"- {{id: in, on: [user, tool_result], when: {EITHER}, do: {{block: {{code: x}}}}%s}}\n"
OUT = "- {id: out, on: [output], when: {harm: {unsafe: true}}, do: {block: {code: x%s}}%s}\n"
WINDOW = "defaults: {stream: {mode: window, window: 64 tokens}}\n"
TODAY, LATER = 1_790_000_000, 1_900_000_000
SITE = Site(
    TODAY,
    people=lambda queue: 1,
    classes={"short": 30 * 86_400, "long": 10**9},
    remote=frozenset({"starter_hazard"}),
    nowhere=lambda model, engine: "" if model == "big" else f"the model `{model}`",
)
ROUTE = "- {id: away, on: [user], when: {harm: {unsafe: true}}, do: {route: {model: %s}}}\n"


def text(rules: str = IN % "", defaults: str = "", detectors: tuple[str, str] = ("", ""), tests: str = "") -> str:
    return document(rules, detectors=DETECTORS % detectors, defaults=defaults, tests=tests)


def review(more: str) -> str:
    do = f"{{review: {{queue: q, hold: request{more}}}}}"
    return f"- {{id: r, on: [user], when: {{harm: {{unsafe: true}}}}, do: {do}}}\n"


KEEPS = "defaults: {audit: {content: sealed, retention: %s}}\n"
ONLY_HARM = "- {id: in, on: [user], when: {harm: {unsafe: true}}, do: {block: {code: x}}}\n"
WATCH = "- {id: w, on: [output], when: {inject: {unsafe: true}}, do: flag}\n"
TEST = "- {name: n, send: {messages: [{user: u}]}, expect: {action: %s}}\n"

FINDINGS = [
    ("no-injection-rule", text(ONLY_HARM + WATCH), ONLY_HARM, TODAY),
    ("late-block", text(IN % "" + OUT % ("", ""), WINDOW), "out", TODAY),
    (
        "judged-afterwards",
        text(IN % "" + OUT % ("", ""), "defaults: {stream: {mode: shadow_only}}\n"),
        "shadow_only",
        TODAY,
    ),
    ("uncovered-allowed", text(defaults=f"defaults: {{uncovered: allow, {RISK}}}\n"), "uncovered", TODAY),
    ("risk-over", text(defaults=f"defaults: {{on_error: open, {RISK}}}\n"), "accept_risk", LATER),
    ("risk-over", text(detectors=("", f", on_error: open, {RISK}")), "accept_risk", LATER),
    ("risk-over", text(IN % f", on_error: open, {RISK}"), "accept_risk", LATER),
    ("risk-over", text(IN % "" + review(f", on_timeout: allow, {RISK}")), "queue", LATER),
    ("slow", text(detectors=(", timeout: 40s", ", timeout: 30s")), "timeout: 40s", TODAY),
    ("retention-floor", text(defaults="regimes: [hipaa]\n" + KEEPS % "short"), "audit", TODAY),
    ("auth-data-kept", text(defaults="regimes: [pci-dss]\n" + KEEPS % "long"), "audit", TODAY),
    ("quorum-too-high", text(IN % "" + review(", quorum: 2")), "queue", TODAY),
    ("quorum-too-high", text(IN % ", on_error: {review: {queue: q, quorum: 3}}"), "on_error", TODAY),
    ("no-such-route", text(IN % "" + ROUTE % "bigg"), "id: away", TODAY),
    ("no-negative-test", text(tests=TEST % "block, rules: [in]"), "id: in", TODAY),
    ("model-unpinned", text(), "starter_hazard", TODAY),
    ("unused-template", text(defaults="templates: {sorry: No.}\n"), "templates", TODAY),
    ("many-choices", text(defaults="defaults: {limits: {n: 9}}\n"), "limits", TODAY),
]


@pytest.mark.parametrize(("code", "policy", "at", "now"), FINDINGS, ids=lambda value: str(value)[:20])
def test_a_finding_stands_at_its_line(code: str, policy: str, at: str, now: int) -> None:
    site = replace(SITE, at=now)
    found = [one for one in lint(policy.encode(), "p.yaml", site=site) if one.code == code]
    assert found, [str(one) for one in lint(policy.encode(), "p.yaml", site=site)]
    assert all(one.fix and one.problem for one in found)
    assert any(at.strip()[:12] in policy.splitlines()[one.place.line - 1] for one in found)


AUTH = "cvv: {use: near, term: cvv, value: '[0-9]{3}', within: 9, label: cvv}\n"
HIDES = "- {id: never, on: [user], when: {cvv: {count: {gte: 1}}}, do: {redact: {as: x, before_audit: true}}}\n"
NO_FINDINGS = [
    ("no-injection-rule", text(), TODAY),
    ("no-injection-rule", text("- {id: none, on: [tool_result], do: {block: {code: x}}}\n" + IN % ""), TODAY),
    ("late-block", text(IN % "" + OUT % ("", ", stream: {mode: window}"), WINDOW), TODAY),
    ("late-block", text(IN % "" + OUT % ("", ", stream: {mode: buffer}"), WINDOW), TODAY),
    ("late-block", text(IN % "" + OUT % ("", "")), TODAY),
    ("risk-over", text(defaults=f"defaults: {{on_error: open, {RISK}}}\n"), TODAY),
    ("slow", text(detectors=(", timeout: 30s", ", timeout: 30s")), TODAY),
    ("retention-floor", text(defaults="regimes: [hipaa]\n" + KEEPS % "long"), TODAY),
    ("retention-floor", text(defaults="regimes: [gdpr]\n" + KEEPS % "short"), TODAY),
    (
        "auth-data-kept",
        document(IN % "" + HIDES, DETECTORS % ("", "") + AUTH, "regimes: [pci-dss]\n" + KEEPS % "long"),
        TODAY,
    ),
    ("quorum-too-high", text(IN % "" + review("")), TODAY),
    ("no-such-route", text(IN % "" + ROUTE % "big"), TODAY),
    ("no-negative-test", text(tests=TEST % "block, rules: [in]" + (TEST % "allow").replace("n,", "m,", 1)), TODAY),
    ("many-choices", text(defaults="defaults: {limits: {n: 4}}\n"), TODAY),
]


@pytest.mark.parametrize(("code", "policy", "now"), NO_FINDINGS, ids=lambda value: str(value)[:20])
def test_what_is_as_it_should_be_is_not_told(code: str, policy: str, now: int) -> None:
    site = replace(SITE, at=now)
    assert [str(one) for one in lint(policy.encode(), "p.yaml", site=site) if one.code == code] == []


def test_every_check_has_a_finding_here() -> None:
    assert set(PROMISE_CHECKS) == {code for code, *_ in FINDINGS}
    assert BUDGET_MS == 60_000
