"""The guards that a policy asks, built for it: what is missing here is told before anything changes.

Building takes its time and blocks: it is done in a thread, off to the side of the policy in force.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.guard_settings import Guards, facts
from gateway.policy_copies import keep_copy
from gateway.policy_source import Found
from gateway.steps import InForce
from gateway.surroundings import Surroundings
from guards.complaints import Complaints
from guards.errors import GuardSetupError
from guards.panel import Panel
from guards.registry import RULES, ModelSource, build, identity
from policies.model import Policy


class PolicyBuilder:
    """Knows which guards can be asked, and where."""

    def __init__(
        self,
        guards: Guards,
        sources: Mapping[str, ModelSource],
        *,
        copies: Path | None = None,
        classes: Container[str] = (),
        around: Surroundings | None = None,
    ) -> None:
        """`guards` is what the configuration names, `sources` where those that can be asked are, `copies` where each
        policy's text is kept for those who read the records later, `classes` those in which exchanges may be kept."""
        self.known = facts(guards)
        self._guards, self._sources = guards, dict(sources)
        self._copies, self._classes, self._around = copies, classes, around or Surroundings()
        self._complain = Complaints()

    def built(self, found: Found) -> InForce:
        """The pair, or GuardSetupError, ConfigError or OSError."""
        policy = found.policy
        self._check_running(policy)
        self._check_kept(policy)
        self._around.check(policy)
        if self._copies is not None:
            keep_copy(self._copies, found.text, policy.source_digest)
        specs, sources = policy.detectors, self._sources
        guards = {name: build(spec.use, self._around.options_of(spec), sources) for name, spec in specs.items()}
        return InForce(
            policy,
            Panel(guards, complain=self._complain),
            identities={name: identity(specs[name].use, guard, sources) for name, guard in guards.items()},
            profiles={name: self._guards[spec.use].profile for name, spec in specs.items() if spec.use in self._guards},
        )

    def started_with(self, policy: Policy) -> None:
        """The model host was started with the models of this policy; one that asks for more would answer 503 to all."""
        asked = {spec.use for spec in policy.detectors.values()}
        self._sources = {use: at for use, at in self._sources.items() if use in asked or at.is_remote}

    def _check_kept(self, policy: Policy) -> None:
        wanted = policy.audit.retention
        if policy.audit.keeps and wanted not in self._classes:
            told = f"the policy keeps text in the class `{wanted}`, which is not in `content.classes`"
            raise ConfigError("content_not_configured", told)

    def _check_running(self, policy: Policy) -> None:
        for use in sorted({spec.use for spec in policy.detectors.values()} - set(RULES) - self._sources.keys()):
            if use in self._guards:
                raise GuardSetupError(use, "it was not started with this gateway; a restart loads it")
            raise GuardSetupError(use, "it is not configured; name its model under `guards:` and restart")
