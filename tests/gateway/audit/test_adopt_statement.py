"""The text of an adoption has one spelling."""

from __future__ import annotations

import pytest

from gateway.audit.adopt_statement import Statement, parse_statement
from gateway.audit.errors import AuditError
from gateway.audit.head_store import Head

STATEMENT = Statement("a/old", "a/new", Head(9, bytes(32)), Head(7, b"r" * 32), "restored from a copy")


def test_what_was_written_is_read() -> None:
    assert parse_statement(STATEMENT.text()) == STATEMENT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("found 9", "found 09"),
        ("/v1", "/v2"),
        ("restored from a copy", ""),
        ("a/new", "a/old"),
        ("A=", "B="),
        ("reason", "cause"),
        ("restored", "restored\x00"),
    ],
)
def test_anything_else_is_refused(old: str, new: str) -> None:
    with pytest.raises(AuditError):
        parse_statement(STATEMENT.text().replace(old, new))
