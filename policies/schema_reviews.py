"""The form of reviews and of what follows from a missing verdict, as JSON Schema; policies/schema.py makes the rest."""

from __future__ import annotations

from policies.read_reviews import HOLDS, MOST_REVIEWERS, ON_TIMEOUT, QUEUE
from policies.schema_forms import DAY, DURATION, TEXT, Schema, keys, matches, one_of, whole

ACCEPT_RISK: dict[str, Schema] = keys({"by": TEXT, "ticket": TEXT, "until": DAY}, ("by", "ticket", "until"))


def review_form(*, held: bool) -> dict[str, Schema]:
    """`held`: whether it says what waits."""
    said: dict[str, Schema] = {
        "queue": matches(QUEUE),
        "quorum": whole(1, MOST_REVIEWERS),
        **({"hold": one_of(HOLDS)} if held else {}),
        "timeout": DURATION,
        "on_timeout": one_of(ON_TIMEOUT),
        "accept_risk": ACCEPT_RISK,
        "distinct_from": {"const": "requester"},
    }
    return keys(said, ["queue", "hold"] if held else ["queue"])


ON_ERROR: dict[str, Schema] = {
    "on_error": {
        "anyOf": [one_of(("closed", "review", "open")), keys({"review": review_form(held=False)}, ["review"])]
    },
    "accept_risk": ACCEPT_RISK,
}
