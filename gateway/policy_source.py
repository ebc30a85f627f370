"""Where the policy in force comes from: a file that is taken as it is, or bundles that people signed.

A source finds a policy and says what the record of its loading has to say; it changes nothing until it is told that
this record is durable. Whatever is wrong with what it finds is an exception, and the policy in force stays. At a start
with signed bundles the last good one stands in for a file that has gone bad meanwhile, and the start says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from gateway.bundles.admission import Admitted, Approval, admit, check_counter, check_life
from gateway.bundles.bundle import Bundle, open_bundle
from gateway.bundles.errors import BundleError
from gateway.bundles.manifest import POLICY
from gateway.bundles.store import BundleStore, State
from gateway.jsonstrict import Json
from policies.extending import read_file
from policies.load import parse_policy
from policies.model import Policy
from policies.vocabulary import GuardFacts

Known = Mapping[str, GuardFacts]
MOST_APPROVED = 8192
"""Bytes of a signed manifest that a record carries."""


@dataclass(frozen=True, slots=True)
class Found:
    """A policy that may come into force."""

    policy: Policy
    text: bytes = field(repr=False)
    """The policy's file."""
    admitted: Admitted | None = None
    """The bundle it came in, if it did."""
    is_rollback: bool = False
    passed_over: tuple[BundleError, ...] = ()
    """Bundles that would have come first, and why they did not."""

    def is_same(self, other: Found) -> bool:
        """Whether both are the same bytes, or the same bundle."""
        ours, theirs = self.admitted, other.admitted
        if ours is not None and theirs is not None:
            return ours.bundle.digest == theirs.bundle.digest
        return ours is theirs and self.policy.digest == other.policy.digest and self.text == other.text

    def record_fields(self) -> dict[str, Json]:
        """What the record of its loading says of where it came from."""
        if self.admitted is None:
            return {}
        bundle, signers = self.admitted.bundle, list[Json](self.admitted.signers)
        life: dict[str, Json] = {"digest": bundle.digest, "counter": bundle.manifest.counter, "signers": signers}
        came: dict[str, Json] = {"weaker": self.admitted.is_weaker, "rollback": self.is_rollback}
        held, not_run = self.admitted.evals_held, self.admitted.evals_not_run
        evals: dict[str, Json] = {"evals": {"held": held, "not_run": not_run}} if held or not_run else {}
        return {"bundle": life | came | evals}

    def approval_fields(self) -> dict[str, Json]:
        """What people signed, for the record that puts it in force; left out where it would fill the record."""
        if self.admitted is None:
            return {}
        bundle = self.admitted.bundle
        text, lines = bundle.manifest.text(), bundle.signatures.decode(errors="replace").splitlines()
        if len(text) + len(bundle.signatures) > MOST_APPROVED:
            return {}
        return {"approval": {"statement": text, "signatures": list[Json](lines)}}


class PolicySource(Protocol):
    """Raises FileErrors, BundleError or OSError when there is nothing to put in force. Blocks."""

    def first(self, known: Known) -> Found:
        """At a start."""

    def again(self, known: Known, in_force: Policy) -> Found:
        """At a reload."""

    def adopted(self, found: Found) -> None:
        """The record is durable and the policy in force."""


class FileSource:
    """A policy file, believed as it is: whoever may write it decides."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def first(self, known: Known) -> Found:
        text = read_file(self._path)
        return Found(parse_policy(text, str(self._path), known), text)

    def again(self, known: Known, in_force: Policy) -> Found:
        return self.first(known)

    def adopted(self, found: Found) -> None:
        """A file remembers nothing."""


class BundleSource:
    """A bundle file and the store of those that were in force."""

    def __init__(
        self,
        file: Path,
        store: BundleStore,
        approval: Approval,
        clock: Callable[[], float] = time.time,
        tested: Container[str] = (),
    ) -> None:
        """`tested`: digests of bundles whose tests passed here already; others are tested before they are believed."""
        self.approval = approval
        self._file, self._store, self._clock, self._tested = file, store, clock, tested

    def first(self, known: Known) -> Found:
        """The newest of the file and the last that was in force, of those that may be."""
        state = self._store.state()
        refused: list[BundleError] = []
        for is_file in (True, False):
            try:
                bundle = self._from_file(state) if is_file else self._store.bundle(state.active)
                if bundle.digest != state.active:
                    check_counter(bundle, state.highest)
                return self._found(bundle, known, None, tuple(refused))
            except BundleError as exc:
                refused.append(exc)
        raise refused[0]

    def again(self, known: Known, in_force: Policy) -> Found:
        """What the file holds now."""
        state = self._store.state()
        return self._newer(self._from_file(state), state, known, in_force)

    def given(self, data: bytes, known: Known, in_force: Policy) -> Found:
        """A bundle that an operator brings. One that was rolled back may come again, if its counter is the highest."""
        state, bundle = self._store.state(), open_bundle(data)
        if bundle.digest in state.withdrawn and bundle.manifest.counter == state.highest:
            return self._found(bundle, known, in_force)
        return self._newer(bundle, state, known, in_force)

    def earlier(self, digest: str | None, known: Known, in_force: Policy) -> Found:
        """The one that was in force before, or an earlier one by its digest. Raises BundleError if there is none."""
        history = self._store.state().history
        wanted = digest or (history[-1] if history else "")
        if wanted not in history:
            raise BundleError("bundle_unknown", "no such bundle was in force here before this one")
        return self._found(self._store.bundle(wanted), known, in_force, is_rollback=True)

    def state(self) -> State:
        """What is in force and what was."""
        return self._store.state()

    def adopted(self, found: Found) -> None:
        if found.admitted is None:
            return
        state, bundle = self._store.state(), found.admitted.bundle
        back = found.is_rollback and state.active != bundle.digest
        self._store.write(
            state.rolled_back(bundle.digest) if back else state.activated(bundle.digest, bundle.manifest.counter)
        )

    def check_life(self, found: Found) -> None:
        """Raise BundleError if the bundle may not come into force any more."""
        if found.admitted is not None:
            check_life(found.admitted.bundle, self.approval, self._clock())

    def on_trial(self, found: Found) -> None:
        """Note that a trial begins, so that the next start knows of one that did not end."""
        if found.admitted is not None:
            self._store.write(replace(self._store.state(), trial=found.admitted.bundle.digest))

    def off_trial(self, *, is_withdrawn: bool = False) -> None:
        """The trial is over."""
        self._store.write(self._store.state().tried(is_withdrawn=is_withdrawn))

    def _from_file(self, state: State) -> Bundle:
        try:
            bundle = open_bundle(self._file.read_bytes())
        except OSError as exc:
            raise BundleError("bundle_malformed", f"`{self._file}` cannot be read: {exc.strerror}") from exc
        if bundle.digest in state.withdrawn:
            raise BundleError("bundle_older", f"`{self._file}` was rolled back and does not come back by itself")
        return bundle

    def _newer(self, bundle: Bundle, state: State, known: Known, in_force: Policy) -> Found:
        if bundle.digest != state.active:
            check_counter(bundle, state.highest)
        return self._found(bundle, known, in_force)

    def _found(
        self,
        bundle: Bundle,
        known: Known,
        in_force: Policy | None,
        passed_over: tuple[BundleError, ...] = (),
        *,
        is_rollback: bool = False,
    ) -> Found:
        admitted = admit(bundle, self._store, self.approval, known, in_force, self._clock(), self._tested)
        return Found(admitted.policy, bundle.contents[POLICY], admitted, is_rollback, passed_over)
