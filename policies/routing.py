"""One decision for a request that a rule sends elsewhere: what holds is what the policy says of where it will go.

Rules may ask about the place (`upstream: {class: external}`), so a request that is routed is decided again with the
facts of its new place, until no rule sends it on. What is cut out of it is what has to be cut out for the place that it
reaches. Everything else that any of these decisions noted stays: who sent it there, flags, reviews, marks, and what
must not be kept anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from policies.cuts import united
from policies.decide import merged
from policies.model import Action, Decision


def is_routed(decision: Decision) -> bool:
    """Whether the request goes to another place than the one it was decided for, as far as this decision knows."""
    return decision.route is not None and decision.template is None and decision.action is not Action.BLOCK


def along(decisions: Sequence[Decision]) -> Decision:
    """The decisions for each place on the way, the last one for where it stays; that one counts where it blocks."""
    last = decisions[-1]
    if len(decisions) == 1:
        return last
    whole = merged(decisions)
    hidden = {cut for one in decisions[:-1] for cut in one.redactions if cut.before_audit}
    kept = united({*last.redactions, *hidden})
    if last.action is Action.BLOCK:
        return replace(whole, redactions=kept)
    routes = [one for one in decisions if one.route is not None]
    return replace(
        whole,
        redactions=kept,
        template=last.template,
        route=routes[-1].route,
        route_engine=routes[-1].route_engine,
        require_seed=any(one.require_seed for one in decisions),
        reviews=merged([replace(one, action=whole.action) for one in decisions]).reviews,
    )
