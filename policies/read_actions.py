"""`do:` of a rule: a word, or a mapping of one action with perhaps a flag and a note beside it.

What the action needs of the rule around it (places to redact, scopes on which it can be carried out) is checked in
policies/read_rules.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from policies import vocabulary as words
from policies.actions import (
    DIALECTS,
    GUARD_UNAVAILABLE,
    REDACTION_IMPOSSIBLE,
    REVIEW_DENIED,
    REVIEW_EXPIRED,
    SEED_REQUIRED,
    UNCOVERED_PART,
    USUAL,
    Action,
    Do,
)
from policies.errors import Problems
from policies.fields import Section, boolean, choice, matching, table, text
from policies.read_reviews import QUEUE, read_review
from policies.replacements import PLACEHOLDER, TOKEN_PLACE, is_placeholder
from policies.yaml_strict import Node, Scalar

CODE = r"[a-z][a-z0-9_]{0,63}"
RESERVED_CODES = frozenset(
    {GUARD_UNAVAILABLE, UNCOVERED_PART, REDACTION_IMPOSSIBLE, SEED_REQUIRED, REVIEW_DENIED, REVIEW_EXPIRED}
)
DEFAULT_QUEUE, DEFAULT_SEVERITY = "default", "medium"
SEVERITIES = ("low", "medium", "high", "critical")
MAIN = ("block", "redact", "replace", "replace_response", "route", "review")
"""Of these a rule has at most one."""
BESIDE = ("flag", "annotate")
LONGEST_AS, LONGEST_TEXT, LONGEST_TEMPLATE, MAX_TEMPLATES = 100, 1_000, 8_000, 100

_queue = matching(QUEUE, "a name of small letters, digits, `-` and `_`")
_code = matching(CODE, "a name of small letters, digits and `_`")
_engine = matching(r"[A-Za-z0-9_.\-]{1,64}", "the name of an engine")
_model = matching(r"[^\s\x00-\x1f]{1,200}", "the public name of a model")
_message = matching(r"[^\x00-\x1f\x7f]{1,500}", "a text of 1 to 500 characters in one line")


def read_templates(node: Node | None, problems: Problems) -> Mapping[str, str]:
    """`templates:`: whole answers by name."""
    found = table(node, "`templates`", problems) if node else None
    templates: dict[str, str] = {}
    if found and len(found.entries) > MAX_TEMPLATES:
        problems.add(found.place, f"`templates` has {len(found.entries)} entries, expected at most {MAX_TEMPLATES}")
    for entry in found.entries if found else ():
        _queue(Scalar(entry.place, entry.key, entry.key), "template", problems)
        value = text(entry.value, f"template `{entry.key[:40]}`", problems)
        if value is not None and len(value) > LONGEST_TEMPLATE:
            problems.add(entry.value.place, f"template `{entry.key[:40]}` is longer than {LONGEST_TEMPLATE} characters")
        templates[entry.key] = value or " "
    return MappingProxyType(dict(sorted(templates.items())))


@dataclass(frozen=True, slots=True)
class ActionReader:
    """Reads `do:`."""

    templates: Mapping[str, str]
    problems: Problems

    def read(self, rule: Section) -> Do | None:
        """None after a problem."""
        node = rule.node("do")
        if node is None:
            self.problems.add(rule.place, "rule has no `do`")
            return None
        if isinstance(node, Scalar):
            return self._word(node)
        before = len(self.problems)
        section = Section.open(node, "`do`", self.problems, ("allow", *MAIN, *BESIDE), words.LATER_ACTIONS)
        if section is None or len(self.problems) > before:
            return None
        do = self._combination(section)
        return do if len(self.problems) == before else None

    def _word(self, node: Scalar) -> Do | None:
        examples = {
            "block": "{block: {code: …}}",
            "redact": '{redact: {as: "[{type}]"}}',
            "replace": "{replace: {text: …}}",
            "replace_response": "{replace_response: {template: …}}",
            "review": "{review: {queue: …}}",
            "route": "{route: {model: …}}",
            "annotate": "{annotate: {field: …}}",
        }
        if isinstance(node.value, str) and node.value in examples:
            self.problems.add(node.place, f"`{node.value}` needs its particulars", f"write `{examples[node.value]}`")
            return None
        read = choice(("allow", "flag"), words.LATER_ACTIONS)(node, "`do`", self.problems)
        if read is None:
            return None
        return Do(Action.ALLOW) if read == "allow" else Do(Action.FLAG, queue=DEFAULT_QUEUE, severity=DEFAULT_SEVERITY)

    def _combination(self, section: Section) -> Do | None:
        if "allow" in section:
            self.problems.add(section.place_of("allow"), "`allow` stands alone", "write `do: allow`")
            return None
        chosen = [name for name in MAIN if name in section]
        if len(chosen) > 1:
            told = f"`do` has both `{chosen[0]}` and `{chosen[1]}`, expected one of them"
            self.problems.add(section.place, told)
            return None
        queue, severity = self._flag(section) if "flag" in section else ("", "")
        note = self._annotation(section) if "annotate" in section else ""
        if chosen:
            readers = {
                "block": self._block,
                "redact": self._redact,
                "replace": self._replace,
                "replace_response": self._replace_response,
                "route": self._route,
                "review": self._review,
            }
            return readers[chosen[0]](section, queue, severity, note)
        if "flag" not in section and "annotate" not in section:
            actions = ", ".join(f"`{name}`" for name in ("allow", "flag", "annotate", *MAIN[:-1]))
            self.problems.add(section.place, f"`do` names no action, expected {actions} or `{MAIN[-1]}`")
        return Do(Action.FLAG if queue else Action.ANNOTATE, queue=queue, severity=severity, field=note)

    def _open(self, section: Section, key: str, known: tuple[str, ...], later: tuple[str, ...] = ()) -> Section | None:
        node = section.node(key)
        return Section.open(node, f"`{key}`", self.problems, known, later) if node else None

    def _flag(self, section: Section) -> tuple[str, str]:
        inner = self._open(section, "flag", ("queue", "severity"))
        if inner is None:
            return "", ""
        return inner.get("queue", _queue, DEFAULT_QUEUE), inner.get("severity", choice(SEVERITIES), DEFAULT_SEVERITY)

    def _annotation(self, section: Section) -> str:
        inner = self._open(section, "annotate", ("field",))
        return inner.require("field", _code, "") if inner else ""

    def _block(self, section: Section, queue: str, severity: str, note: str) -> Do | None:
        inner = self._open(section, "block", ("code", "message", "dialect"))
        if inner is None:
            return None
        code = inner.require("code", _code, "")
        if code in RESERVED_CODES:
            self.problems.add(inner.place_of("code"), f"code `{code}` is the gateway's own, expected another name")
        message = inner.get("message", _message, "")
        said = inner.get("dialect", choice(DIALECTS), USUAL)
        dialect = "" if said == USUAL else said
        return Do(Action.BLOCK, code=code, message=message, dialect=dialect, queue=queue, severity=severity, field=note)

    def _redact(self, section: Section, queue: str, severity: str, note: str) -> Do | None:
        inner = self._open(section, "redact", ("as", "reversible", "before_audit"))
        if inner is None:
            return None
        replacement = inner.require("as", text, "")
        self._check_placeholders(inner, replacement)
        reversible = inner.get("reversible", choice(("tenant",)), "") == "tenant"
        if reversible != (TOKEN_PLACE in replacement) and replacement:
            told = (
                "`reversible` needs `{token}` in `as`" if reversible else "`{token}` in `as` needs `reversible: tenant`"
            )
            self.problems.add(inner.place_of("as"), told)
        before_audit = inner.get("before_audit", boolean, False)
        if before_audit and reversible:
            told = "`reversible` brings the text back in answers, which are kept as they leave, against `before_audit`"
            self.problems.add(inner.place_of("before_audit"), told, "use one of the two")
        return Do(
            Action.REDACT,
            replacement=replacement,
            queue=queue,
            severity=severity,
            field=note,
            before_audit=before_audit,
            reversible=reversible,
        )

    def _check_placeholders(self, inner: Section, replacement: str) -> None:
        place = inner.place_of("as")
        for name in PLACEHOLDER.findall(replacement):
            if not is_placeholder(name):
                hint = "expected `{type}`, `{first6}`, `{last4}` or, with `reversible`, `{token}`"
                self.problems.add(place, f"`as` has an unknown placeholder `{name[:40]}`", hint)
        if re.search(r"[{}]", PLACEHOLDER.sub("", replacement)) or len(replacement) > LONGEST_AS:
            self.problems.add(place, f"`as` has a loose brace, or is longer than {LONGEST_AS} characters")

    def _replace(self, section: Section, queue: str, severity: str, note: str) -> Do | None:
        inner = self._open(section, "replace", ("text",))
        if inner is None:
            return None
        words_ = inner.require("text", text, "")
        if len(words_) > LONGEST_TEXT:
            self.problems.add(inner.place_of("text"), f"`text` is longer than {LONGEST_TEXT} characters")
        return Do(Action.REPLACE, replacement=words_, queue=queue, severity=severity, field=note)

    def _replace_response(self, section: Section, queue: str, severity: str, note: str) -> Do | None:
        inner = self._open(section, "replace_response", ("template",))
        if inner is None:
            return None
        name = inner.require("template", _queue, "")
        if name and name not in self.templates:
            known = ", ".join(f"`{one}`" for one in self.templates) or "none"
            told = f"template `{name}` is not one of `templates`, which has {known}"
            self.problems.add(inner.place_of("template"), told)
        return Do(Action.REPLACE, template=name, queue=queue, severity=severity, field=note)

    def _route(self, section: Section, queue: str, severity: str, note: str) -> Do | None:
        inner = self._open(section, "route", ("model", "engine", "require_seed"))
        if inner is None:
            return None
        model, seeded = inner.require("model", _model, ""), inner.get("require_seed", boolean, False)
        engine = inner.get("engine", _engine, "")
        sent = Do(Action.ROUTE, model=model, engine=engine, require_seed=seeded)
        return replace(sent, queue=queue, severity=severity, field=note)

    def _review(self, section: Section, queue: str, severity: str, note: str) -> Do | None:
        node = section.node("review")
        review = read_review(node, self.problems) if node else None
        return Do(Action.REVIEW, review=review, queue=queue, severity=severity, field=note) if review else None
