"""The collector rests while something is read, and goes on afterwards, whatever came of it."""

from __future__ import annotations

import gc

import pytest

from policies.collector import put_off


def test_it_goes_on_afterwards_also_after_a_failure_and_inside_another() -> None:
    with put_off():
        with put_off():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), put_off():
        _ = 1 // 0
    assert gc.isenabled()
