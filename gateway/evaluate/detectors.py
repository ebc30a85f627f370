"""Which detectors are evaluated: those of a policy, or guards named directly; each with its threshold and who set it.

A detector is built from the same registry, with the same options, as the gateway builds it; only its memory is off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.run import Subject
from gateway.evaluate.runner import Bench
from guards.errors import GuardSetupError
from guards.model_files import Thresholds
from guards.options import MEMORY_OPTION
from guards.registry import RULES, ModelSource, build, identity
from guards.verdict import PPM, Guard
from policies.errors import did_you_mean
from policies.model import DetectorSpec, Policy

UNSAID_PPM = PPM // 2
"""For a model guard whose threshold neither the command nor the policy nor the model says."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A detector to build."""

    name: str
    use: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    threshold_ppm: int | None = None
    """None: the policy sets none."""
    category_ppm: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    timeout_ms: int = 0

    @property
    def is_model(self) -> bool:
        return self.use not in RULES


def of_policy(policy: Policy, names: Sequence[str]) -> list[Wanted]:
    """Raises EvaluationError for a name that the policy has not."""
    for name in names:
        if name not in policy.detectors:
            hint = did_you_mean(name, policy.detectors) or f"it has {', '.join(policy.detectors)}"
            raise EvaluationError(f"policy `{policy.name}` has no detector `{name[:40]}` ({hint})")
    return [_wanted(policy.detectors[name]) for name in names]


def _wanted(spec: DetectorSpec) -> Wanted:
    # The loader gives 1.0 to a model whose threshold the policy leaves out; then no rule asks for one.
    is_set = spec.use in RULES or spec.threshold_ppm < PPM
    threshold = spec.threshold_ppm if is_set else None
    return Wanted(spec.name, spec.use, spec.options, threshold, spec.category_thresholds, spec.timeout_ms)


def of_uses(uses: Sequence[str]) -> list[Wanted]:
    """Guards under their own names, with their default options."""
    return [Wanted(use, use) for use in uses]


def bench(wanted: Wanted, sources: Mapping[str, ModelSource], threshold_ppm: int | None = None) -> Bench:
    """The guard, ready to judge. `threshold_ppm` is the command's and comes before all others."""
    # What is remembered would be measured as fast, and is.
    options = {**wanted.options, MEMORY_OPTION: "off"} if wanted.is_model else wanted.options
    try:
        guard = build(wanted.use, options, sources)
    except GuardSetupError as exc:
        raise EvaluationError(str(exc)) from exc
    told = identity(wanted.use, guard, sources)
    threshold, said_by, categories = _thresholds(wanted, guard, threshold_ppm)
    subject = Subject(
        name=wanted.name,
        use=wanted.use,
        version=told.version,
        weights=told.weights,
        threshold_ppm=threshold,
        threshold_from=said_by,
        is_model=wanted.is_model,
        category_ppm=MappingProxyType(dict(categories)),
        timeout_ms=wanted.timeout_ms,
        options=tuple(sorted(wanted.options)),
    )
    return Bench(subject, guard)


def _thresholds(wanted: Wanted, guard: Guard, asked: int | None) -> tuple[int, str, Mapping[str, int]]:
    # Not every guard has a card: those that have carry it as an attribute, which is no part of the protocol.
    card = getattr(guard, "thresholds", None)
    suggested = card if isinstance(card, Thresholds) else None
    own = wanted.category_ppm or (dict(suggested.category_ppm) if suggested and wanted.threshold_ppm is None else {})
    if asked is not None:
        return asked, "command line", own
    if wanted.threshold_ppm is not None:
        return wanted.threshold_ppm, "policy", own
    if not wanted.is_model:
        return PPM, "a rule", own
    return (suggested.score_ppm, "model card", own) if suggested else (UNSAID_PPM, "default", own)
