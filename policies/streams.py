"""How the answer of one exchange may leave: as the policy says, or whole where a rule that may look at it says so.

The choice is made once, before any of the answer has come, from facts alone. So a rule counts unless facts keep it
away for certain: what is not known yet (a verdict, the tool that an answer will call, whether a day has come) is taken
to let it match.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guards.verdict import Verdict
from policies.matchers import asks
from policies.model import Facts, Policy, Rule
from policies.settings import ANSWER_SCOPES, StreamSpec

WHOLE: Final = StreamSpec("buffer")
_NOTHING_KNOWN: Mapping[str, Verdict] = {}


def stream_for(policy: Policy, facts: Facts) -> StreamSpec:
    """When text of this answer may leave. Only `defaults` can let it leave before it is judged, a rule can never."""
    plans = (policy.plan(scope) for scope in ANSWER_SCOPES)
    rules = (rule for plan in plans for rule in (*plan.enforcing, *plan.suspended) if rule.buffers)
    return WHOLE if any(_may_match(rule, facts) for rule in rules) else policy.stream


def _may_match(rule: Rule, facts: Facts) -> bool:
    conditions = (rule.when, rule.unless) if rule.unless else (rule.when,)
    if any(asks(condition, ("tool",)) for condition in conditions):
        return True
    return rule.matches(_NOTHING_KNOWN, facts) is not False
