"""An export that cannot be made says what is missing."""

from __future__ import annotations

from gateway.audit.export.errors import ExportError


def test_the_message_is_for_the_operator() -> None:
    assert str(ExportError("`x` is missing")) == "`x` is missing"
