"""The operational log: JSON lines on stderr, events as past-tense names with fields.

The audit log is another path and cannot be filtered from here. `refuse_text` guards the other direction: a field whose
name or size says that it may hold a prompt or an answer is replaced, so a careless log call cannot leak one.
"""

from __future__ import annotations

import sys
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

_TEXT_FIELDS: Final = frozenset(("text", "prompt", "content", "message", "messages", "body", "answer", "key", "token"))
_LONGEST: Final = 300


def refuse_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace fields that could hold user text or a secret. A structlog processor."""
    for name, value in event.items():
        too_long = isinstance(value, str) and len(value) > _LONGEST and name != "problems"
        if name in _TEXT_FIELDS or too_long:
            event[name] = "[not logged]"
    return event


def set_up(process: str) -> None:
    """Configure structlog for this process. Call once, before the first log line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            refuse_text,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=process)
