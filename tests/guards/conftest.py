"""Fixtures of the tests of guards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guards.classifying import Maker


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A classifier guard and its host."""
    return Maker(tmp_path)
