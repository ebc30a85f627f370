"""Errors say which guard and what was wrong."""

from __future__ import annotations

from guards.errors import ErrorKind, GuardError, GuardSetupError


def test_a_guard_error_names_guard_and_kind() -> None:
    error = GuardError("injection", ErrorKind.TOO_LONG, "the text needs 9 windows, the cap is 8")

    assert str(error) == "guard `injection` gave no verdict: the text needs 9 windows, the cap is 8"
    assert error.kind == "too_long"


def test_a_setup_error_names_the_option_if_there_is_one() -> None:
    assert str(GuardSetupError("regex", "missing", "pattern")) == "guard `regex`, option `pattern`: missing"
    assert str(GuardSetupError("regex", "missing")) == "guard `regex`: missing"
