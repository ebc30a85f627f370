"""What can be wrong with a second place of the log, and whether waiting helps.

    SinkError        it does not hold the records now; the worker connects again and goes on
      SinkFull       there is no room; the connection stands and the same bytes are tried again
      SinkConflict   what it holds is not this log; nothing is written to it until a person has looked
    RestoreError     a log directory cannot be made from what a sink holds

Codes of SinkError, stable: sink_unreachable, sink_failed, sink_full, sink_changed, sink_set_back, sink_ahead,
log_changed, sink_crashed, and sink_late for one that has not answered in its time.
Messages name files, hosts and numbers. They never carry the content of a record.
"""

from __future__ import annotations


class SinkError(Exception):
    """The records are not there, or nobody knows whether they are."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


class SinkFull(SinkError):
    """No room. What was written of the batch is cut off again."""

    def __init__(self, problem: str) -> None:
        super().__init__("sink_full", problem)


class SinkConflict(SinkError):
    """The sink holds something else than a beginning of this log, or the log is not what the sink was given."""


class RestoreError(Exception):
    """What a sink holds is not a whole log, or there is no such sink."""
