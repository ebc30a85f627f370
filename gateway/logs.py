"""The operational log: JSON lines on stderr, events as past-tense names with fields.

The audit log is another path and cannot be filtered from here. `refuse_text` guards the other direction: a field whose
name, size or form says that it may hold a prompt or an answer is replaced, so a careless log call cannot leak one. A
value with a space in it is text unless its field is one of those that hold our own sentences; an event is a name. What
libraries log is reduced to who said it and which exception it was about, since an exception's message may quote text.
A single short word of a user in a field with an innocent name is not recognised: no processor could.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import defaultdict
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from gateway.allowance import Allowance

_TEXT_FIELDS: Final = frozenset(("text", "prompt", "content", "message", "messages", "body", "answer", "key", "token"))
_SENTENCES: Final = frozenset(("problem", "problems", "act", "state"))
"""What we say ourselves, about an operator's files: messages of our errors and of the system, and a path."""
_EVENT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LONGEST: Final = 300
_NOT_LOGGED: Final = "[not logged]"


def refuse_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace fields that could hold user text or a secret. A structlog processor."""
    for name, value in event.items():
        event[name] = value if name == "problems" and isinstance(value, str) else _refused(name, value)
    if not _EVENT.fullmatch(str(event.get("event"))):
        event["event"] = _NOT_LOGGED
    return event


def _refused(name: str, value: Any) -> Any:  # noqa: ANN401 - a log field may be anything
    if name.lower() in _TEXT_FIELDS:
        return _NOT_LOGGED
    if isinstance(value, dict):
        return {str(key): _refused(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_refused(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        return type(value).__name__
    if not isinstance(value, str) or len(value) > _LONGEST:
        return _NOT_LOGGED
    return value if name in _SENTENCES or not any(map(str.isspace, value)) else _NOT_LOGGED


class Libraries(logging.Handler):
    """What uvicorn, asyncio and the like have to say, without their message.

    uvicorn has something to say about each request that is not HTTP, and anybody can send those. So each place in a
    library may say so much at once, then so much a second; its next line says how often it was not heard.
    """

    def __init__(self, burst: float = 20, per_s: float = 0.5) -> None:
        super().__init__()
        self._allowances: defaultdict[str, Allowance] = defaultdict(lambda: Allowance(burst, per_s))

    def emit(self, record: logging.LogRecord) -> None:
        at = f"{record.filename}:{record.lineno}"
        allowance = self._allowances[f"{record.name} {at}"]
        if not allowance.take():
            return
        kind, left_out = record.exc_info[0] if record.exc_info else None, allowance.told()
        structlog.get_logger().warning(
            "library_warned",
            library=record.name,
            severity=record.levelname,
            at=at,
            error=kind.__name__ if kind else "",
            **({"left_out": left_out} if left_out else {}),
        )


def log_bug(exchange: str, exc: BaseException) -> None:
    """Say that something of ours failed, by type and place. The message may hold user text and stays out."""
    structlog.get_logger().error("request_failed", exchange=exchange, error=type(exc).__name__, at=place_of(exc))


def place_of(exc: BaseException) -> str:
    """`file.py:line` of where it was raised; empty if it never was."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}" if trace else ""


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
    logging.basicConfig(handlers=[Libraries()], level=logging.WARNING, force=True)
