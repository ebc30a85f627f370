"""What can go wrong in the front, and the one table from that to a status code and a public message.

    GatewayError          a step did not happen; carries status, code and a message without user text
      BadRequest          400 the body is not a request we accept: `param` names the field
      Unauthenticated     401 no key, or not one of ours
      Forbidden           403 an operator without the role that this needs
      NotFound            404 no such route, or no such model
      MethodNotAllowed    405 the route exists, the method does not
      Slow                408 the body did not arrive in time
      Conflict            409 something that holds now forbids it, such as a legal hold
      TooLarge            413 the body is over the limit
      EncodingRefused     415 a content-encoding or media type we do not read
      InternalError       500 a bug of ours
      TooMany             429 the key has too many exchanges open
      UpstreamFailed      502 the model server gave no answer we can read
      Unavailable         503 guards, audit log or engine cannot do their part now
      UpstreamTimeout     504 the model server gave no answer in time

A blocked prompt is not here: it is a decision, and `gateway/render.py` turns it into bytes.
"""

from __future__ import annotations

from typing import ClassVar, Final

CANNOT_WORK: Final = 2
"""Exit status of a process that only a person can mend: a configuration, a log or a model that cannot be used."""


class GatewayError(Exception):
    """A step did not happen. Everything in it is public; nothing in it is user text."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


class BadRequest(GatewayError):
    """The caller can mend this: `param` says where."""

    status = 400
    type = "invalid_request_error"


class Unauthenticated(GatewayError):
    """No key, or not one of ours."""

    status = 401
    type = "authentication_error"


class Forbidden(GatewayError):
    """We know who asks, and the role for this is not theirs."""

    status = 403
    type = "permission_error"


class NotFound(GatewayError):
    """No such route or model."""

    status = 404
    type = "invalid_request_error"


class MethodNotAllowed(GatewayError):
    """The route exists, the method does not."""

    status = 405
    type = "invalid_request_error"


class Slow(GatewayError):
    """The body did not arrive in time."""

    status = 408
    type = "invalid_request_error"


class Conflict(GatewayError):
    """Something that holds now forbids it."""

    status = 409
    type = "invalid_request_error"


class TooLarge(GatewayError):
    """The body is over the limit of the policy."""

    status = 413
    type = "invalid_request_error"


class EncodingRefused(GatewayError):
    """A content-encoding or media type we do not read, so could not judge."""

    status = 415
    type = "invalid_request_error"


class InternalError(GatewayError):
    """A bug of ours. What it was is in the operational log, by type and place."""

    def __init__(self) -> None:
        super().__init__("internal_error", "the gateway failed to handle this request; its log has the request id")


class TooMany(GatewayError):
    """The key has too many exchanges open; later it will not have."""

    status = 429
    type = "rate_limit_error"


class UpstreamFailed(GatewayError):
    """The model server gave no answer we can read."""

    status = 502
    type = "upstream_error"


class Unavailable(GatewayError):
    """Guards, audit log or engine cannot do their part now. Nothing passes meanwhile."""

    status = 503
    type = "service_unavailable"


class UpstreamTimeout(GatewayError):
    """The model server gave no answer in time."""

    status = 504
    type = "upstream_error"


class ConfigError(Exception):
    """`gatehouse serve` cannot start; the message is for the operator. Exit code 2."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
