"""The guards without a model: their names, their options, and how each is made from them.

A policy is checked by making the guard, so its options have one definition: the guard's own reader. Nothing else lists
these guards; the registry builds by this table and the policy language takes its words from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from guards.errors import GuardSetupError
from guards.options import VIEWS, Options
from guards.rules import entities, entity_shapes, exfiltration, near, prompt_leak, repetition, size, terms
from guards.rules.base import RuleGuard
from guards.rules.entities import EntitiesGuard
from guards.rules.exfiltration import ExfiltrationGuard
from guards.rules.language import CODES, LanguageGuard
from guards.rules.near import NearGuard
from guards.rules.pattern_search import RAW
from guards.rules.prompt_leak import PromptLeakGuard
from guards.rules.regex import RegexGuard
from guards.rules.repetition import RepetitionGuard
from guards.rules.secret_patterns import LABELS as SECRET_LABELS
from guards.rules.secrets import SecretsGuard
from guards.rules.size import SizeGuard
from guards.rules.special_tokens import DEFAULT_FAMILIES, SpecialTokensGuard
from guards.rules.structured import JsonSchemaGuard, ToolArgumentsGuard
from guards.rules.terms import TermsGuard
from guards.rules.unicode import USUAL, UnicodeGuard
from guards.verdict import Scope

TEXT_SCOPES: Final = frozenset(Scope) - {Scope.IMAGE}


@dataclass(frozen=True, slots=True)
class RuleKind:
    """One guard without a model."""

    keys: Set[str]
    """Its options."""
    make: Callable[[Options], RuleGuard]
    is_own_reader: bool = True
    """Whether the policy loader takes options and labels from the guard; older guards are in its own tables."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Options that are lists out of a fixed set, for editors."""
    required: Set[str] = frozenset()
    """Options that it cannot be without."""
    scopes: frozenset[Scope] = TEXT_SCOPES
    """What it can judge."""
    categories: tuple[str, ...] = ()
    """Codes of its verdicts, for a guard that names what a text is and points at no characters."""
    needs_whole: bool = False
    """Whether a part of an answer means nothing to it: then an answer has to be judged at its end."""


def _regex(options: Options) -> RuleGuard:
    if options.values.get("engine", "re2") != "re2":
        raise GuardSetupError("regex", "expected `re2`, the only engine", "engine")
    views, check = options.among("views", VIEWS, RAW), options.string("check", "")
    return RegexGuard(options.string("pattern"), options.string("label", "match"), views, check)


KINDS: Final[Mapping[str, RuleKind]] = MappingProxyType(
    {
        "unicode": RuleKind({"find"}, lambda o: UnicodeGuard(o.strings("find", USUAL)), is_own_reader=False),
        "special_tokens": RuleKind(
            {"families", "extra", "loaded"},
            lambda o: SpecialTokensGuard(
                o.strings("families", DEFAULT_FAMILIES), o.strings("extra", ()), o.strings("loaded", ())
            ),
            is_own_reader=False,
        ),
        "secrets": RuleKind({"find"}, lambda o: SecretsGuard(o.strings("find", SECRET_LABELS)), is_own_reader=False),
        "regex": RuleKind({"pattern", "label", "engine", "views", "check"}, _regex, is_own_reader=False),
        "entities": RuleKind(
            entities.OPTIONS,
            EntitiesGuard.of,
            names={"find": entity_shapes.LABELS, "locales": entity_shapes.LOCALES},
        ),
        "terms": RuleKind(terms.OPTIONS, TermsGuard.of),
        "exfiltration": RuleKind(exfiltration.OPTIONS, ExfiltrationGuard.of, names={"find": exfiltration.LABELS}),
        "language": RuleKind(frozenset(), LanguageGuard.of, categories=CODES),
        "json_schema": RuleKind({"schema"}, JsonSchemaGuard.of, scopes=frozenset({Scope.OUTPUT}), needs_whole=True),
        "tool_arguments": RuleKind(frozenset(), ToolArgumentsGuard.of, scopes=frozenset({Scope.TOOL_CALL})),
        "prompt_leak": RuleKind(
            prompt_leak.OPTIONS,
            PromptLeakGuard.of,
            scopes=frozenset({Scope.OUTPUT, Scope.REASONING, Scope.TOOL_CALL}),
        ),
        "repetition": RuleKind(repetition.OPTIONS, RepetitionGuard.of, names={"find": repetition.LABELS}),
        "size": RuleKind(size.OPTIONS, SizeGuard.of),
        "near": RuleKind(near.OPTIONS, NearGuard.of, names={"views": VIEWS}, required={"term", "value", "within"}),
    }
)
"""By the name after `use:`."""


def make(use: str, options: Mapping[str, object]) -> RuleGuard:
    """The guard, ready to judge. Raises GuardSetupError with the option that cannot be used."""
    kind = KINDS[use]
    return kind.make(Options(use, options, kind.keys))
