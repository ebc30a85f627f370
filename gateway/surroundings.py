"""What of a configuration a policy depends on besides its guards: the engines it may route to, the tokenizers in use.

A policy names an engine, a model or the family `loaded`; the configuration says what these are. So it is checked here,
before a policy comes into force, that a route leads somewhere, and a detector that asks for the loaded tokenizers'
tokens is told which these are. Where no configuration is known nothing is refused and nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.engine_settings import Engines
from gateway.errors import ConfigError
from gateway.guard_settings import Guards
from gateway.queues import Queues
from guards.errors import GuardSetupError
from guards.rules.special_tokens import LOADED
from guards.tokenizer_files import control_tokens
from policies.model import DetectorSpec, Option, Policy


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of one gateway."""

    engines: Engines = ()
    tokens: tuple[str, ...] = ()
    """Control tokens of every tokenizer that the configuration names; sorted."""
    queues: Queues = field(default_factory=Queues)
    """Who votes on reviews."""
    places: int = 0
    """In how many places each record has to be; 0: not known."""

    def options_of(self, spec: DetectorSpec) -> Mapping[str, Option]:
        """What the guard is built with."""
        families = spec.options.get("families", ())
        if spec.use != "special_tokens" or not isinstance(families, tuple) or LOADED not in families:
            return spec.options
        return {**spec.options, LOADED: self.tokens}

    def check(self, policy: Policy) -> None:
        """Raises ConfigError for what the policy wants and is not here: people, places of the log, engines, models."""
        self.queues.check(policy)
        if 0 < self.places < policy.audit.sinks:
            told = f"the policy wants records in {policy.audit.sinks} places, and `audit.require` is {self.places}"
            raise ConfigError("places_too_few", told)
        for rule in policy.rules if self.engines else ():
            if rule.do.model and (told := nowhere(self.engines, rule.do.model, rule.do.engine)):
                raise ConfigError("route_unknown", f"rule `{rule.id}` routes to {told}")


def nowhere(engines: Engines, model: str, engine: str) -> str:
    """Why a route leads nowhere: the engine or the model, and which there are. Empty where it may lead somewhere."""
    asked = [one for one in engines if engine in ("", one.name)]
    if not asked:
        return f"the engine `{engine}`, expected one of {_list(one.name for one in engines)}"
    if any(not one.models for one in asked):
        return ""  # it serves whatever it lists when it is asked
    known = {name for one in asked for name, _ in one.models}
    # Adapters come and go while the gateway runs: of a local model only what is before the colon counts.
    if model in known or any(one.local and model.split(":")[0] in known for one in asked):
        return ""
    return f"the model `{model}`, expected one of {_list(sorted(known))}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def loaded_tokens(engines: Engines, guards: Guards) -> tuple[str, ...]:
    """The control tokens of all engines and guards. Blocks. Raises ConfigError for an engine's that cannot be read.

    A guard whose files are not there is left out: it is not asked, or its own loading says what is missing.
    """
    found: set[str] = set()
    for one in engines:
        if one.tokenizer is not None:
            try:
                found.update(control_tokens(one.tokenizer))
            except GuardSetupError as exc:
                raise ConfigError("config_unreadable", f"`tokenizer` of engine `{one.name}`: {exc.problem}") from exc
    for guard in guards.values():
        if guard.path is not None and guard.path.is_dir():
            try:
                found.update(control_tokens(guard.path))
            except GuardSetupError:
                continue
    return tuple(sorted(found))
