"""One table from what went wrong to a status and a code. Clients write code against it, so it is pinned here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import errors
from gateway.errors import GatewayError, InternalError

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"
TABLE = {
    "BadRequest": (400, "invalid_request_error"),
    "Unauthenticated": (401, "authentication_error"),
    "Forbidden": (403, "permission_error"),
    "NotFound": (404, "invalid_request_error"),
    "MethodNotAllowed": (405, "invalid_request_error"),
    "Slow": (408, "invalid_request_error"),
    "Conflict": (409, "invalid_request_error"),
    "TooLarge": (413, "invalid_request_error"),
    "EncodingRefused": (415, "invalid_request_error"),
    "TooMany": (429, "rate_limit_error"),
    "UpstreamFailed": (502, "upstream_error"),
    "Unavailable": (503, "service_unavailable"),
    "UpstreamTimeout": (504, "upstream_error"),
    "InternalError": (500, "server_error"),
}


def kinds() -> set[type[GatewayError]]:
    return set(GatewayError.__subclasses__())


def test_every_kind_has_the_status_that_clients_rely_on() -> None:
    assert {
        kind.__name__: (kind.status, kind.type) for kind in kinds() if kind.__module__.startswith("gateway")
    } == TABLE


def test_the_docstring_draws_every_kind_with_its_status() -> None:
    drawn = dict(re.findall(r"^ {6}(\w+) +(\d{3}) ", errors.__doc__ or "", re.MULTILINE))
    assert {name: int(status) for name, status in drawn.items()} == {
        kind.__name__: kind.status for kind in kinds() if kind.__module__ == "gateway.errors"
    }


def test_an_error_carries_code_message_and_field() -> None:
    error = errors.BadRequest("invalid_value", "`n` must be an integer from 1 to 8", "n")
    assert (error.code, error.message, error.param, str(error)) == ("invalid_value", error.message, "n", error.message)
    assert InternalError().code == "internal_error"


RAISED = re.compile(r"\b(" + "|".join(TABLE) + r')\(\s*"([^"]+)",\s*f?"([^"]*)"', re.DOTALL)


@pytest.mark.parametrize("path", sorted(GATEWAY.glob("*.py")), ids=lambda path: path.stem)
def test_codes_are_stable_names_and_messages_read_as_ours(path: Path) -> None:
    for _, code, message in RAISED.findall(path.read_text()):
        assert re.fullmatch(r"[a-z][a-z0-9_]+", code), code
        assert message[:1] == message[:1].lower() or message.startswith("API"), message
        assert not message.endswith("."), message
