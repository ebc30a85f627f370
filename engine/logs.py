"""Log lines of the model host: one JSON object a line, on stderr.

Events are past-tense names with small fields. No prompt, answer, token or exception text may be a field: exceptions
of libraries can quote their input, so only their type is logged, also where a library logs itself. A line that nobody
reads any more is lost: who has lost its log has to go on, and be it only to end.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

LONGEST: Final = 200
_NOT_LOGGED: Final = "[not logged]"


def names_only(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what is no number and no name: cutting a text short would still log its beginning."""
    return {key: value if _is_name(value) else _NOT_LOGGED for key, value in event.items()}


def _is_name(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST and not any(map(str.isspace, value))
    return value is None or isinstance(value, bool | int | float)


class _Lines:
    """Writes to stderr as it is now. Its reader may be gone: whoever killed our parent killed that, too."""

    def info(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)

    warning = error = info


class Libraries(logging.Handler):
    """What uvicorn, asyncio and the like have to say, without their message and without the exception's."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        log.warning("library_warned", library=record.name, at=f"{record.filename}:{record.lineno}", error=error)


log: Any = structlog.wrap_logger(
    _Lines(),
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        names_only,
        structlog.processors.JSONRenderer(),
    ],
)
