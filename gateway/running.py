"""An exchange that runs: what all of its steps work with, from its judged request to its closing record.

Frozen: what one step finds out reaches the next as an argument or a result, never through here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.disconnect import Client
from gateway.entries import Exchange
from gateway.exchange import ChatRequest
from gateway.reviews import Reviewers
from gateway.steps import Audit, InForce
from gateway.transcript import Transcript
from guards.verdict import Context
from policies.settings import StreamSpec
from policies.streams import stream_for


@dataclass(frozen=True, slots=True)
class Running:
    """One exchange."""

    audit: Audit
    exchange: Exchange
    """On its way to the place that answers it."""
    in_force: InForce
    request: ChatRequest
    context: Context
    """The request, for whoever judges the answer in its light."""
    client: Client
    transcript: Transcript
    key: bytes = field(repr=False)
    """The tenant's own, for digests."""
    reviewers: Reviewers

    @property
    def stream(self) -> StreamSpec:
        """How the policy lets an answer to this request out, if it is streamed."""
        facts = self.exchange.facts(self.request.parts, self.request.model, None)
        return stream_for(self.in_force.policy, facts)
