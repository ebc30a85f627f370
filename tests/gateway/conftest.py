"""What every test of the gateway leaves as it was, and the running gateway that those about its routes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.gateway.live import Live


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that is run in this process sets up its log, on a stream that ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def running() -> Iterator[Live]:
    """One for the tests of a file."""
    with Live() as running:
        yield running


@pytest.fixture
def live(running: Live) -> Live:
    """The same, as if nothing had been asked yet."""
    return running.reset()
