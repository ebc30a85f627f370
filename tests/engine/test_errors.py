"""Status and kind of an error are fixed by its class: they are part of the interface."""

from __future__ import annotations

import pytest

from engine.errors import (
    BadRequest,
    EngineError,
    ModelRefused,
    NotFound,
    RequestError,
    StepFailed,
    TooLarge,
    Unavailable,
)


@pytest.mark.parametrize(
    ("kind", "status"), [(BadRequest, 400), (NotFound, 404), (TooLarge, 413), (Unavailable, 503), (StepFailed, 500)]
)
def test_a_request_error_has_its_status(kind: type[RequestError], status: int) -> None:
    error = kind("code", "what was found", "field")
    assert (error.status, error.code, str(error), error.param) == (status, "code", "what was found", "field")
    assert isinstance(error, EngineError)


def test_a_refused_model_is_not_a_request_error() -> None:
    assert not isinstance(ModelRefused("code", "x"), RequestError)
