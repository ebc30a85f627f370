"""A pin is these bytes and no others, inside the policy's folder; test_lists.py tries it through a list."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from policies.pinned import Pin, PinError, pin_of


def test_the_bytes_that_are_pinned_are_read(tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_bytes(b"x\r\n")
    digest = hashlib.sha256(b"x\r\n").hexdigest()
    pin = pin_of(f"a b.txt@sha256:{digest}")
    assert pin == Pin("a b.txt", digest)
    assert (pin.read(tmp_path), pin.digest) == (b"x\r\n", f"sha256:{digest}")
    (tmp_path / "a b.txt").write_bytes(b"x\n")
    with pytest.raises(PinError, match="not the one that is pinned"):
        pin.read(tmp_path)


@pytest.mark.parametrize("name", ["/a", "../a", "a/../b", "a\\b", "", "a@b"])
def test_a_pin_leads_nowhere_else(name: str) -> None:
    with pytest.raises(PinError):
        pin_of(f"{name}@sha256:{'0' * 64}")
