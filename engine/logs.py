"""Log lines of the model host: one JSON object a line, on stderr.

Events are past-tense names with small fields. No prompt, answer, token or exception text may be a field: exceptions
of libraries can quote their input, so only their type is logged.
"""

from __future__ import annotations

import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

MAX_FIELD = 200


def _short(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A field longer than a name or a path is not something to log."""
    return {key: value[:MAX_FIELD] if isinstance(value, str) else value for key, value in event.items()}


log: Any = structlog.wrap_logger(
    structlog.PrintLogger(sys.stderr),
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _short,
        structlog.processors.JSONRenderer(),
    ],
)
