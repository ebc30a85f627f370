"""Whether a bundle may come into force: signed by enough people, in time, for here, newer than the last, tested here.

More people have to sign what decides less strictly than the policy in force (policies/diff.py says which that is): one
person alone can tighten, never loosen. Every check is made on the bytes that are then put in force.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from gateway.audit.note import VerifierKey
from gateway.bundles.bundle import Bundle
from gateway.bundles.errors import BundleError
from gateway.bundles.manifest import POLICY
from gateway.bundles.store import BundleStore
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.rules import evaluated, needs_models
from gateway.rehearsal import failing
from policies.diff import diff
from policies.errors import PolicyErrors
from policies.load import load_policy
from policies.model import Policy
from policies.vocabulary import GuardFacts


@dataclass(frozen=True, slots=True)
class Approval:
    """Whose signatures count, how many are needed, and for which place."""

    approvers: tuple[VerifierKey, ...]
    needed: int = 1
    """Signatures for any bundle."""
    needed_to_weaken: int = 2
    """Signatures for one that is less strict than the policy in force."""
    origin: str = ""
    """Of the gateway."""
    binding: str = ""
    """For which entry of `policies`; empty: for everybody."""

    def __post_init__(self) -> None:
        if not 1 <= self.needed <= self.needed_to_weaken:
            raise ValueError("fewer signatures are asked for a weaker policy than for another")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A bundle that may come into force, and why."""

    bundle: Bundle
    policy: Policy
    signers: tuple[str, ...]
    is_weaker: bool
    """Whether it is less strict than what was in force; False if nothing was."""
    evals_held: int = 0
    """Of the policy's evaluations, those that need no model; all of them hold."""
    evals_not_run: int = 0
    """Those that need one."""


def check_life(bundle: Bundle, approval: Approval, now_s: float) -> tuple[str, ...]:
    """The approvers who signed. Raises BundleError when they are too few, its time is over, or it is for elsewhere."""
    signers = bundle.signers(approval.approvers)
    if len(signers) < approval.needed:
        raise BundleError("bundle_unsigned", _too_few(signers, approval.needed, ""))
    expires = bundle.manifest.expires_s
    if expires is not None and now_s >= expires:
        raise BundleError("bundle_expired", f"the bundle expired at {expires}, seconds since 1970")
    bundle.manifest.check_place(approval.origin, approval.binding)
    return signers


def check_counter(bundle: Bundle, highest: int) -> None:
    """Raise BundleError unless the bundle is newer than all that were in force."""
    counter = bundle.manifest.counter
    if counter <= highest:
        raise BundleError("bundle_older", f"the bundle's counter is {counter}, expected more than {highest}")


def admit(
    bundle: Bundle,
    store: BundleStore,
    approval: Approval,
    known: Mapping[str, GuardFacts],
    in_force: Policy | None,
    now_s: float,
    tested: Container[str] = (),
) -> Admitted:
    """Keep, load and test the bundle; takes its time. Raises BundleError, or OSError if it cannot be kept.

    `tested` are digests of bundles that passed their tests here already, in this start of the gateway.
    """
    signers = check_life(bundle, approval, now_s)
    store.keep(bundle)
    policy = _loaded(bundle, store, known)
    is_weaker = in_force is not None and diff(in_force, policy).is_weaker
    if is_weaker and len(signers) < approval.needed_to_weaken:
        raise BundleError("bundle_unsigned", _too_few(signers, approval.needed_to_weaken, " that weakens the policy"))
    if bundle.digest not in tested:
        _test(policy)
    not_run = sum(needs_models(policy, entry) for entry in policy.evals)
    return Admitted(bundle, policy, signers, is_weaker, len(policy.evals) - not_run, not_run)


def _test(policy: Policy) -> None:
    """Its tests, and its evaluations that need no model. Raises BundleError."""
    failing_cases = failing(policy)
    if failing_cases:
        raise BundleError("bundle_tests", f"{len(failing_cases)} of {len(policy.cases)} tests of the policy fail")
    try:
        outcomes, _ = evaluated(policy)
    except EvaluationError as exc:
        raise BundleError("bundle_eval", str(exc)) from exc
    failed = [one for one in outcomes if one.problems]
    if failed:
        first = failed[0]
        told = f"{len(failed)} of {len(outcomes)} evaluations of the policy do not hold; rule `{first.asked.rule}`"
        raise BundleError("bundle_eval", f"{told} on `{first.asked.corpus.path}`: {'; '.join(first.problems)}")


def _loaded(bundle: Bundle, store: BundleStore, known: Mapping[str, GuardFacts]) -> Policy:
    try:
        policy = load_policy(store.folder(bundle) / POLICY, known)
    except PolicyErrors as exc:
        raise BundleError("bundle_invalid", f"the policy does not load here: {exc}") from exc
    if policy.digest != bundle.manifest.digest:
        raise BundleError("bundle_invalid", f"the policy means `{policy.digest}` here, not what was signed")
    return policy


def _too_few(signers: tuple[str, ...], needed: int, what: str) -> str:
    by = " by " + ", ".join(signers) if signers else ""
    return f"{len(signers)} of {needed} signatures of approvers{by} on a bundle{what}"
