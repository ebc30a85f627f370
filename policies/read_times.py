"""Days in a policy.

A day counts to its end, in UTC. Reading looks at no clock: whether a day has passed is asked when a decision is made,
with the time handed in.
"""

from __future__ import annotations

import datetime
import re

from policies.errors import Problems
from policies.fields import described
from policies.yaml_strict import Broken, Node, Scalar

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def day_end(node: Node, what: str, problems: Problems) -> int | None:
    """`2026-12-31`: when that day is over, in seconds since 1970."""
    written = node.value if isinstance(node, Scalar) else None
    if isinstance(written, str) and _DAY.fullmatch(written):
        try:
            day = datetime.date.fromisoformat(written)
        except ValueError:
            day = None
        if day is not None and 1970 < day.year < 9999:
            over = datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
            return int(over.timestamp())
    if not isinstance(node, Broken):
        problems.add(node.place, f"{what} is {described(node)}, expected a day such as `2026-12-31`")
    return None


def day_of(until: int) -> str:
    """The day that is over then, as the author wrote it."""
    return datetime.datetime.fromtimestamp(until - 1, datetime.UTC).date().isoformat()
