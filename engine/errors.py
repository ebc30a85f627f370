"""Why the model host did not do what it was asked.

    EngineError
      ModelRefused      a model can never be served from this directory: the host exits with status 2
      RequestError      this request was not served; it carries the HTTP status and a stable code
        BadRequest      400, the caller can repair it
        NotFound        404, no such model or path
        TooLarge        413, the body is over the limit
        Unavailable     503, loading, overloaded, draining or past its deadline; a later try may succeed
        StepFailed      500, the step that held this request failed; nothing of it was answered
          MemoryExhausted   500, there was not enough memory for it; a smaller batch may fit
    ManifestProblem     is a ModelRefused: a file differs from what the manifest lists

Messages name files, fields, tensors and numbers. They never hold a prompt, an answer or a token.
"""

from __future__ import annotations


class EngineError(Exception):
    """Something in the model host was not done."""


class ModelRefused(EngineError):
    """Loading this directory can never work; trying again without changing it is useless."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


class ManifestProblem(ModelRefused):
    """The directory is not the one its manifest describes."""


class RequestError(EngineError):
    """This request was refused or given up. `status` and `code` are part of the interface."""

    status = 500
    kind = "server_error"

    def __init__(self, code: str, problem: str, param: str | None = None) -> None:
        super().__init__(problem)
        self.code, self.problem, self.param = code, problem, param


class BadRequest(RequestError):
    """The request itself is wrong."""

    status = 400
    kind = "invalid_request_error"


class NotFound(RequestError):
    """The model or path named in the request does not exist here."""

    status = 404
    kind = "invalid_request_error"


class TooLarge(RequestError):
    """The body is larger than the host reads."""

    status = 413
    kind = "invalid_request_error"


class Unavailable(RequestError):
    """Not now: the host is loading, full, going down, or the request's time is over."""

    status = 503
    kind = "overloaded_error"


class StepFailed(RequestError):
    """The computation failed. Only the sequences of that step are lost."""


class MemoryExhausted(StepFailed):
    """The batch did not fit into memory. The process is sound, and half of the batch may fit."""
