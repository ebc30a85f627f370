"""`rules:` of a policy file. Each rule stands alone; that their order means nothing is decided elsewhere.

What a rule does is checked against where it applies: a redaction needs characters to remove, and in `window` streams a
hold-back that keeps them from leaving before they are seen.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from guards.rules.reach import longest, reach
from guards.verdict import Scope
from policies import vocabulary as words
from policies.errors import Place, Problems
from policies.fields import NO_TEXTS, Section, choice, list_of, matching, not_available, text
from policies.matchers import ALWAYS, All, Any, Count, Matcher
from policies.model import (
    GUARD_UNAVAILABLE,
    REDACTION_IMPOSSIBLE,
    UNCOVERED_PART,
    Action,
    Do,
    Mode,
    Rule,
    StreamSpec,
)
from policies.read_detectors import Detectors
from policies.read_matchers import MatcherReader
from policies.yaml_strict import Broken, Listing, Node, Scalar

RULE_ID = r"[a-z][a-z0-9_-]{0,63}"
CODE = r"[a-z][a-z0-9_]{0,63}"
STREAMED_SCOPES = frozenset({Scope.OUTPUT, Scope.REASONING})
"""Tool calls are held until they are complete, whatever the mode."""
RESERVED_CODES = frozenset({GUARD_UNAVAILABLE, UNCOVERED_PART, REDACTION_IMPOSSIBLE})
DEFAULT_QUEUE, DEFAULT_SEVERITY = "default", "medium"
SEVERITIES = ("low", "medium", "high", "critical")
MAX_RULES = 500

_KEYS = ("id", "on", "when", "unless", "do", "mode", "on_error")
_ACTIONS = ("allow", "flag", "redact", "block")
_id = matching(RULE_ID, "a name of small letters, digits, `-` and `_`")
_code = matching(CODE, "a name of small letters, digits and `_`")
_message = matching(r"[^\x00-\x1f\x7f]{1,500}", "a text of 1 to 500 characters in one line")
_scopes = list_of(choice([str(scope) for scope in Scope], words.LATER_SCOPES), least=1)


@dataclass(frozen=True, slots=True)
class RuleReader:
    """Reads all rules of one policy."""

    detectors: Detectors
    stream: StreamSpec
    problems: Problems

    def read(self, node: Node | None) -> tuple[Rule, ...]:
        """Sorted by id."""
        if node is None or isinstance(node, Broken):
            return ()
        if not isinstance(node, Listing) or not 0 < len(node.items) <= MAX_RULES:
            self.problems.add(node.place, f"`rules` has to be a list of 1 to {MAX_RULES} rules")
            return ()
        before = len(self.problems)
        ids: dict[str, Place] = {}
        used: set[str] = set()
        rules = [self._rule(item, ids, used) for item in node.items]
        if len(self.problems) == before:
            self._report_unused(used)
        return tuple(sorted((rule for rule in rules if rule), key=lambda rule: rule.id))

    def _report_unused(self, used: set[str]) -> None:
        for name, declared in self.detectors.items():
            if declared is not None and name not in used:
                self.problems.add(declared.place, f"detector `{name}` is asked by no rule", "use it or remove it")

    def _rule(self, node: Node, ids: dict[str, Place], used: set[str]) -> Rule | None:
        before = len(self.problems)
        section = Section.open(node, "rule", self.problems, _KEYS, words.LATER_RULE)
        if section is None:
            return None
        rule_id = section.require("id", _id, "")
        self._check_unique(rule_id, section, ids)
        scopes = frozenset(Scope(name) for name in section.require("on", _scopes, NO_TEXTS))
        conditions = MatcherReader(self.detectors, scopes, self.problems, used)
        when = self._conditions(section, "when", conditions)
        unless = self._conditions(section, "unless", conditions)
        do = _Doing(self.problems).read(section)
        section.get("on_error", choice(("closed",), words.LATER_ON_ERROR), "closed")
        mode = Mode(section.get("mode", choice([str(mode) for mode in Mode], words.LATER_MODES), "enforce"))
        if len(self.problems) > before or do is None or when is None or (unless is None and "unless" in section):
            return None  # the last two: they ask a detector whose problems are already reported
        rule = Rule(rule_id, scopes, when, unless, do, mode)
        if do.action is Action.REDACT:
            self._check_redaction(rule, section)
        return rule

    def _check_unique(self, rule_id: str, section: Section, ids: dict[str, Place]) -> None:
        place = section.place_of("id")
        if rule_id and rule_id in ids:
            self.problems.add(place, f"rule id `{rule_id}` is here twice, first in line {ids[rule_id].line}")
        ids.setdefault(rule_id, place)

    def _conditions(self, section: Section, key: str, conditions: MatcherReader) -> Matcher | None:
        node = section.node(key)
        if node is None:
            return ALWAYS if key == "when" else None
        return conditions.read(node, f"`{key}`")

    def _check_redaction(self, rule: Rule, section: Section) -> None:
        place = section.place_of("do")
        if not _points_at_characters(rule.when):
            hint = "`count` or `entity` of unicode, special_tokens, secrets or regex"
            self.problems.add(place, "`redact` needs a condition in `when` that finds places in a text", hint)
        if Scope.TOOL_SCHEMA in rule.scopes:
            self.problems.add(place, "`redact` cannot be done on `tool_schema`", "block instead")
        answers = sorted(rule.scopes & STREAMED_SCOPES)
        if answers and self.stream.mode == "window" and self.stream.holdback.count == 0:
            problem = f"`redact` on `{answers[0]}` needs a `holdback` in `defaults.stream` when the mode is `window`"
            self.problems.add(place, problem)
        elif answers and self.stream.mode == "window":
            self._check_reach(rule, place)
        if answers and rule.mode is Mode.ENFORCE and self.stream.max_delay_ms:
            problem = f"`redact` on `{answers[0]}` cannot be kept to when `max_delay` lets go what is held back"
            self.problems.add(place, problem, "block instead, or leave `max_delay` out of `defaults.stream`")

    def _check_reach(self, rule: Rule, place: Place) -> None:
        """A match that is known later than what is held back would leave in part."""
        held = self.stream.holdback.chars
        for name in sorted(rule.when.detectors()):
            declared = self.detectors.get(name)
            options = declared.spec.options if declared else {}
            pattern = options.get("pattern")
            # A match in a view may stand for any number of raw characters.
            needed = declared.known_after if declared else 0
            if isinstance(pattern, str):
                needed = math.inf if "views" in options else (longest if "check" in options else reach)(pattern)
            if needed > held:
                many = "any number of" if math.isinf(needed) else str(int(needed))
                problem = (
                    f"a match of `{name}` may take {many} characters to be known as one, and `holdback` keeps {held}"
                )
                self.problems.add(
                    place, problem, "write `.{0,200}` for `.*`, raise `holdback`, block, or use mode `buffer`"
                )


def _points_at_characters(matcher: Matcher) -> bool:
    """Whether it cannot hold without a span: one child of `all` is enough, of `any` it takes every one."""
    if isinstance(matcher, All):
        return any(_points_at_characters(child) for child in matcher.children)
    if isinstance(matcher, Any):
        return all(_points_at_characters(child) for child in matcher.children)
    return isinstance(matcher, Count) and matcher.least > 0


@dataclass(frozen=True, slots=True)
class _Doing:
    """Reads `do:`: a word, or a mapping of one action and perhaps a flag."""

    problems: Problems

    def read(self, rule: Section) -> Do | None:
        node = rule.node("do")
        if node is None:
            self.problems.add(rule.place, "rule has no `do`")
            return None
        if isinstance(node, Scalar):
            return self._word(node)
        before = len(self.problems)
        section = Section.open(node, "`do`", self.problems, _ACTIONS, words.LATER_ACTIONS)
        if section is None or len(self.problems) > before:
            return None
        return self._combination(section)

    def _word(self, node: Scalar) -> Do | None:
        word = choice(("allow", "flag"), words.LATER_ACTIONS)
        if node.value in ("block", "redact"):
            example = "{block: {code: …}}" if node.value == "block" else '{redact: {as: "[{label}]"}}'
            self.problems.add(node.place, f"`{node.value}` needs its particulars", f"write `{example}`")
            return None
        read = word(node, "`do`", self.problems)
        if read is None:
            return None
        return Do(Action.ALLOW) if read == "allow" else Do(Action.FLAG, queue=DEFAULT_QUEUE, severity=DEFAULT_SEVERITY)

    def _combination(self, section: Section) -> Do | None:
        chosen = [name for name in ("block", "redact", "allow") if name in section]
        if "allow" in chosen:
            self.problems.add(section.place_of("allow"), "`allow` stands alone", "write `do: allow`")
            return None
        if len(chosen) == 2:
            self.problems.add(section.place, "`do` has both `block` and `redact`, expected one of them")
        queue, severity = self._flag(section) if "flag" in section else ("", "")
        if "block" in section:
            return self._block(section, queue, severity)
        if "redact" in section:
            return self._redact(section, queue, severity)
        if "flag" not in section:
            self.problems.add(section.place, "`do` names no action, expected `allow`, `flag`, `redact` or `block`")
        return Do(Action.FLAG, queue=queue, severity=severity)

    def _open(self, section: Section, key: str, known: tuple[str, ...], later: tuple[str, ...]) -> Section | None:
        node = section.node(key)
        return Section.open(node, f"`{key}`", self.problems, known, later) if node else None

    def _flag(self, section: Section) -> tuple[str, str]:
        inner = self._open(section, "flag", ("queue", "severity"), ())
        if inner is None:
            return "", ""
        return inner.get("queue", _id, DEFAULT_QUEUE), inner.get("severity", choice(SEVERITIES), DEFAULT_SEVERITY)

    def _block(self, section: Section, queue: str, severity: str) -> Do | None:
        inner = self._open(section, "block", ("code", "message"), ("dialect", "status", "template"))
        if inner is None:
            return None
        code = inner.require("code", _code, "")
        if code in RESERVED_CODES:
            self.problems.add(inner.place_of("code"), f"code `{code}` is the gateway's own, expected another name")
        return Do(Action.BLOCK, code=code, message=inner.get("message", _message, ""), queue=queue, severity=severity)

    def _redact(self, section: Section, queue: str, severity: str) -> Do | None:
        inner = self._open(section, "redact", ("as",), ("reversible", "before_audit"))
        if inner is None:
            return None
        replacement = inner.require("as", text, "")
        for name in re.findall(r"\{([^{}]*)\}", replacement):
            if name != "label":
                later = name in ("type", "token") or re.fullmatch(r"(first|last)[0-9]+", name)
                problem = not_available("{" + name + "}") if later else f"`as` has an unknown placeholder `{name[:40]}`"
                self.problems.add(inner.place_of("as"), problem, "" if later else "expected `{label}`")
        if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", replacement)) or len(replacement) > 100:
            self.problems.add(inner.place_of("as"), "`as` has a loose brace, or is longer than 100 characters")
        return Do(Action.REDACT, replacement=replacement, queue=queue, severity=severity)
