"""`rules:` of a policy file. Each rule stands alone; that their order means nothing is decided elsewhere.

What a rule does is checked against where it applies: a redaction needs characters to remove, and in `window` streams a
hold-back that keeps them from leaving before they are seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from guards.rules.reach import longest, reach
from guards.verdict import Scope
from policies import vocabulary as words
from policies.errors import Place, Problems, did_you_mean
from policies.fields import NO_TEXTS, Section, choice, list_of, matching
from policies.matchers import ALWAYS, All, Any, Count, Matcher
from policies.model import Action, Mode, Review, Rule
from policies.read_actions import ActionReader
from policies.read_detectors import Detectors
from policies.read_matchers import MatcherReader
from policies.read_reviews import read_on_error
from policies.read_times import day_end
from policies.settings import ANSWER_SCOPES, STREAMED_SCOPES, StreamSpec
from policies.yaml_strict import Broken, Listing, Node

RULE_ID = r"[a-z][a-z0-9_-]{0,63}"
NO_TEXT_SCOPES: Final = frozenset({Scope.IMAGE, Scope.TOOL_SCHEMA})
"""Where nothing can stand in place of what was there."""
MAX_RULES = 10_000

_KEYS = ("id", "on", "when", "unless", "do", "mode", "until", "on_error", "accept_risk", "stream", "relaxes")
_id = matching(RULE_ID, "a name of small letters, digits, `-` and `_`")
_scopes = list_of(choice([str(scope) for scope in Scope], words.LATER_SCOPES), least=1)


@dataclass(frozen=True, slots=True)
class RuleReader:
    """Reads all rules of one policy."""

    detectors: Detectors
    stream: StreamSpec
    templates: Mapping[str, str]
    claims: tuple[str, ...]
    on_error: str
    """What the policy's defaults say of missing verdicts."""
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
        relaxed: dict[str, Place] = {}
        found = [self._rule(item, ids, used, relaxed) for item in node.items]
        rules = tuple(sorted((rule for rule in found if rule), key=lambda rule: rule.id))
        if len(self.problems) == before:
            self._report_unused(used)
            self._check_relaxed(rules, relaxed)
        return rules

    def _check_relaxed(self, rules: Sequence[Rule], places: Mapping[str, Place]) -> None:
        """An exception is from a rule that is there, acts, and is made by one that acts itself."""
        by_id = {rule.id: rule for rule in rules}
        for rule in rules:
            if not rule.relaxes:
                continue
            other, place = by_id.get(rule.relaxes), places[rule.id]
            if other is None or other is rule:
                near = did_you_mean(rule.relaxes, by_id)
                self.problems.add(place, f"`relaxes` names `{rule.relaxes}`, which is no other rule", near)
            elif not other.scopes & rule.scopes:
                self.problems.add(place, f"`relaxes` names `{rule.relaxes}`, which looks at other scopes")
            elif rule.mode is not Mode.ENFORCE:
                self.problems.add(place, f"a rule that is `{rule.mode}` relaxes nothing", "leave `relaxes` out")

    def _report_unused(self, used: set[str]) -> None:
        for name, declared in self.detectors.items():
            if declared is not None and name not in used:
                self.problems.add(declared.place, f"detector `{name}` is asked by no rule", "use it or remove it")

    def _rule(self, node: Node, ids: dict[str, Place], used: set[str], relaxed: dict[str, Place]) -> Rule | None:
        before = len(self.problems)
        section = Section.open(node, "rule", self.problems, _KEYS, words.LATER_RULE)
        if section is None:
            return None
        rule_id = section.require("id", _id, "")
        self._check_unique(rule_id, section, ids)
        scopes = frozenset(Scope(name) for name in section.require("on", _scopes, NO_TEXTS))
        conditions = MatcherReader(self.detectors, scopes, self.claims, self.problems, used)
        when = self._conditions(section, "when", conditions)
        unless = self._conditions(section, "unless", conditions)
        do = ActionReader(self.templates, self.problems).read(section)
        on_error = read_on_error(section)
        mode, until = self._mode(section)
        buffers = self._buffers(section, scopes) or (do is not None and do.review is not None)
        buffers = buffers or (bool(scopes & ANSWER_SCOPES) and self._may_ask_people(on_error.kind, when, unless))
        relaxes = section.get("relaxes", _id, "")
        relaxed[rule_id] = section.place_of("relaxes")
        if len(self.problems) > before or do is None or when is None or (unless is None and "unless" in section):
            return None  # the last two: they ask a detector whose problems are already reported
        rule = Rule(
            id=rule_id,
            scopes=scopes,
            when=when,
            unless=unless,
            do=do,
            mode=mode,
            on_error=on_error.kind,
            risk=on_error.risk,
            people=on_error.people,
            until=until,
            buffers=buffers,
            relaxes=relaxes,
        )
        self._check_action(rule, section)
        return rule

    def _may_ask_people(self, own: str, *conditions: Matcher | None) -> bool:
        """Whether a missing verdict can make people look at an answer, of which nothing may have left then."""
        if own:
            return own == "review"
        names = frozenset[str]().union(*(one.detectors() for one in conditions if one is not None))
        asked = [declared for name in names if (declared := self.detectors.get(name))]
        return any((declared.spec.on_error or self.on_error) == "review" for declared in asked)

    def _mode(self, section: Section) -> tuple[Mode, int | None]:
        mode = Mode(section.get("mode", choice([str(mode) for mode in Mode]), "enforce"))
        until = section.get("until", day_end, 0) or None
        if mode is Mode.OFF and "until" not in section:
            self.problems.add(section.place_of("mode"), "a rule that is `off` needs the day `until` which it is")
        if mode is Mode.ENFORCE and "until" in section:
            self.problems.add(section.place_of("until"), "`until` needs `mode: off` or `mode: shadow`")
        return mode, until

    def _buffers(self, section: Section, scopes: frozenset[Scope]) -> bool:
        node = section.node("stream")
        inner = Section.open(node, "`stream`", self.problems, ("mode",)) if node else None
        if inner is None:
            return False
        mode = inner.require("mode", choice(("buffer", "window")), "")
        if mode == "window" and self.stream.mode != "window":
            told = f"`mode: window` says that a late block is meant, and `defaults.stream` is `{self.stream.mode}`"
            self.problems.add(section.place_of("stream"), told, "leave `stream` out")
        if scopes and not scopes & ANSWER_SCOPES:
            told = "`stream` is for rules on `output`, `reasoning` or `tool_call`"
            self.problems.add(section.place_of("stream"), told)
        return mode == "buffer"

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

    def _check_action(self, rule: Rule, section: Section) -> None:
        self._check_whole(rule, section)
        if rule.do.action is Action.REDACT:
            self._check_redaction(rule, section)
        elif rule.do.action is Action.REPLACE:
            self._check_replacement(rule, section)
        elif rule.do.review is not None:
            self._check_review(rule.do.review, rule.scopes, section)
        elif rule.do.action is Action.ROUTE and (late := sorted(rule.scopes & ANSWER_SCOPES)):
            told = f"`route` on `{late[0]}`: an answer has been made already"
            self.problems.add(section.place_of("do"), told, "make it a rule on parts of requests")

    def _check_whole(self, rule: Rule, section: Section) -> None:
        """A piece of JSON is not JSON: some guards mean nothing before an answer is at its end."""
        asked = (self.detectors.get(name) for name in sorted(rule.detectors()))
        for declared in asked if rule.scopes & STREAMED_SCOPES and self.stream.mode == "window" else ():
            if declared and declared.guard.rule and declared.guard.rule.needs_whole and not rule.buffers:
                told = f"`{declared.spec.name}` ({declared.spec.use}) judges whole answers, and the mode is `window`"
                self.problems.add(section.place, told, "add `stream: {mode: buffer}` to the rule")

    def _check_review(self, review: Review, scopes: frozenset[Scope], section: Section) -> None:
        """What waits is what the rule looks at."""
        held = {"response": STREAMED_SCOPES, "tool_call": frozenset({Scope.TOOL_CALL})}
        fitting = held.get(review.hold, frozenset(Scope) - ANSWER_SCOPES)
        if others := sorted(scopes - fitting):
            told = f"`hold: {review.hold}` does not fit the scope `{others[0]}`"
            self.problems.add(section.place_of("do"), told, "make a rule for each of requests, answers and tool calls")

    def _check_replacement(self, rule: Rule, section: Section) -> None:
        """What stands for a whole part, or a whole answer, comes before any of it has left."""
        place, name = section.place_of("do"), "replace_response" if rule.do.template else "replace"
        if not rule.do.template and (fixed := sorted(rule.scopes & NO_TEXT_SCOPES)):
            self.problems.add(place, f"`replace` cannot be done on `{fixed[0]}`", "block instead")
        answers = sorted(rule.scopes & (ANSWER_SCOPES if rule.do.template else STREAMED_SCOPES))
        if answers and self.stream.mode != "buffer" and not rule.buffers:
            told = f"`{name}` on `{answers[0]}` cannot be done once text has left, and the mode is `{self.stream.mode}`"
            self.problems.add(place, told, "add `stream: {mode: buffer}` to the rule")

    def _check_redaction(self, rule: Rule, section: Section) -> None:
        place = section.place_of("do")
        if rule.do.reversible and (answers := sorted(rule.scopes & STREAMED_SCOPES)):
            told = f"`reversible` on `{answers[0]}`: what an answer says comes back to nobody"
            self.problems.add(place, told, "leave `reversible` out, or make it a rule on parts of requests")
        if not _points_at_characters(rule.when):
            hint = "`count` or `entity` of a detector that points at characters, such as `secrets` or `entities`"
            self.problems.add(place, "`redact` needs a condition in `when` that finds places in a text", hint)
        if Scope.TOOL_SCHEMA in rule.scopes:
            self.problems.add(place, "`redact` cannot be done on `tool_schema`", "block instead")
        answers = [] if rule.buffers else sorted(rule.scopes & STREAMED_SCOPES)
        if answers and self.stream.mode == "window" and self.stream.holdback.count == 0:
            problem = f"`redact` on `{answers[0]}` needs a `holdback` in `defaults.stream` when the mode is `window`"
            self.problems.add(place, problem)
        elif answers and self.stream.mode == "window":
            self._check_reach(rule, place)
        elif answers and self.stream.mode == "shadow_only" and rule.acts(None):
            problem = f"`redact` on `{answers[0]}` cannot be done once text has left, and the mode is `shadow_only`"
            self.problems.add(place, problem, "add `stream: {mode: buffer}` to the rule, or put it in shadow")
        if answers and (rule.mode is Mode.ENFORCE or rule.until) and self.stream.max_delay_ms:
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
