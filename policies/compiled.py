"""What a policy means, in one spelling, and the digest of that.

Equal meaning gives equal bytes on every machine: defaults are written out, lists are sorted, numbers are integers.
Owner, regimes, tests and comments change nothing and are left out. What an older policy could not say is left out where
it is not said, so that it keeps the digest which its records cite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

from guards.verdict import PPM
from policies.keeping import keeping_form
from policies.matchers import Form, canonical
from policies.model import DetectorSpec, Do, Option, Policy, Review, Risk, Rule
from policies.settings import Limits, StreamSpec

COMPILED_FORMAT = "gatehouse-policy-compiled/v1"


def digest_of(policy: Policy) -> str:
    """Of what it means."""
    return sha256_of(canonical(compiled(policy)).encode())


def sha256_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compiled(policy: Policy) -> dict[str, Form]:
    """What the policy means, in one spelling."""
    form: dict[str, Form] = {
        "format": COMPILED_FORMAT,
        "name": policy.name,
        "version": policy.version,
        "defaults": {"uncovered": "deny", "on_error": "closed"},  # what they are otherwise follows in `on_errors`
        "stream": _stream_form(policy.stream),
        "limits": _limits_form(policy.limits),
        "detectors": {key: _detector_form(spec) for key, spec in policy.detectors.items()},
        "rules": {rule.id: _rule_form(rule) for rule in policy.rules},
    }
    return form | _more(policy) | keeping_form(policy.audit)


def _stream_form(stream: StreamSpec) -> Form:
    """What an author left out is left out here: a policy written before it could be said keeps its digest."""
    form: list[Form] = [stream.mode, stream.window_chars, stream.holdback_chars, stream.max_wait_ms]
    if stream.window_most_chars != stream.window_chars or stream.max_delay_ms:
        form += [stream.window_most_chars, stream.max_delay_ms]
    return form


def _limits_form(limits: Limits) -> Form:
    form, usual = asdict(limits), Limits()
    for name in ("logprobs", "input_tokens", "output_tokens"):
        if form[name] == getattr(usual, name):
            del form[name]
    return form


def _detector_form(spec: DetectorSpec) -> Form:
    form: dict[str, Form] = {
        "use": spec.use,
        "threshold": spec.threshold_ppm if spec.says_threshold else PPM,  # else it stands in the rules that go by it
        "categories": dict(spec.category_thresholds),
        "timeout": spec.timeout_ms,
        "on_error": spec.on_error or "closed",
        "options": {key: _option_form(value) for key, value in spec.options.items()},
    }
    if spec.configured:
        form["configured"] = list(spec.configured)
    return form


def _option_form(option: Option) -> Form:
    """Entries of a mapping keep their order, which may be that of a prompt."""
    if isinstance(option, Mapping):
        return [[key, value] for key, value in option.items()]
    return list(option) if isinstance(option, tuple) else option


def _rule_form(rule: Rule) -> Form:
    form: dict[str, Form] = {
        "on": sorted(rule.scopes),
        "when": rule.when.form(),
        "do": _do_form(rule.do),
        "mode": rule.mode,
        "on_error": rule.on_error or "closed",
    }
    if rule.unless is not None:
        form["unless"] = rule.unless.form()
    if rule.until is not None:
        form["until"] = rule.until
    if rule.buffers:
        form["stream"] = "buffer"
    if rule.relaxes:
        form["relaxes"] = rule.relaxes
    return form


def _do_form(do: Do) -> Form:
    texts = (do.code, do.message, do.replacement, do.queue, do.severity)
    form: list[Form] = [do.action.name.lower(), *texts]
    if do.field or do.template or do.before_audit or do.reversible:
        form += [do.field, do.template, int(do.before_audit), int(do.reversible)]
    if do.review is not None:
        form += _review_form(do.review)
    if do.dialect:
        form += [do.dialect]
    if do.model:
        form += [do.model, int(do.require_seed), *([do.engine] if do.engine else [])]
    return form


def _review_form(review: Review) -> list[Form]:
    form: list[Form] = [review.queue, review.quorum, review.hold, review.timeout_ms, int(review.distinct)]
    return [*form, *_error_form("allow", review.risk)] if review.risk else form


def _more(policy: Policy) -> dict[str, Form]:
    """What older policies could not say; left out where it is not said, so that they keep their digests."""
    form: dict[str, Form] = {}
    said: dict[str, Form] = {
        f"rule {rule.id}": _error_form(rule.on_error, rule.risk, rule.people) for rule in policy.rules
    }
    said |= {
        f"detector {name}": _error_form(spec.on_error, spec.risk, spec.people)
        for name, spec in policy.detectors.items()
    }
    said["defaults"] = _error_form(policy.on_error, policy.risk, policy.people)
    if policy.uncovered:
        form["uncovered"] = _error_form("allow", policy.uncovered)
    if any(isinstance(one, list) for one in said.values()):
        form["on_errors"] = {place: one for place, one in said.items() if one}
    if policy.templates:
        form["templates"] = dict(policy.templates)
    if policy.claims:
        form["claims"] = list(policy.claims)
    if policy.may_relax:
        form["may_relax"] = sorted(policy.may_relax)
    return form


def _error_form(kind: str, risk: Risk | None, people: Review | None = None) -> list[Form] | str:
    if people:
        return [kind, *_review_form(people)]
    return [kind, risk.by, risk.ticket, risk.until] if risk else kind
