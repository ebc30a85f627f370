"""What every test of the gateway leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that is run in this process sets up its log, on a stream that ends with the test."""
    yield
    structlog.reset_defaults()
