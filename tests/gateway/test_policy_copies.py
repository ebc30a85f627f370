"""Policies are found again by the digest that records cite, and only the right ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.policy_copies import copy_of, digest_of, keep_copy

SOURCE = b"gatehouse: policy/v1\n"


def test_a_copy_is_found_by_its_digest(tmp_path: Path) -> None:
    digest = digest_of(SOURCE)
    assert copy_of(tmp_path / "policies", digest) is None
    keep_copy(tmp_path / "policies", SOURCE, digest)
    keep_copy(tmp_path / "policies", SOURCE, digest)
    found = copy_of(tmp_path / "policies", digest)
    assert found is not None
    assert found.read_bytes() == SOURCE
    assert os.listdir(tmp_path / "policies") == [found.name]


def test_a_copy_that_was_changed_is_not_one(tmp_path: Path) -> None:
    keep_copy(tmp_path, SOURCE, digest_of(SOURCE))
    (tmp_path / f"{digest_of(SOURCE).removeprefix('sha256:')}.yaml").write_bytes(b"another")
    assert copy_of(tmp_path, digest_of(SOURCE)) is None


def test_bytes_that_are_not_those_of_the_digest_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="changed while it was being loaded"):
        keep_copy(tmp_path, b"changed", digest_of(SOURCE))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("digest", ["", "sha256:short", "sha256:../../etc/passwd", "md5:" + "0" * 64])
def test_a_digest_is_never_a_path(tmp_path: Path, digest: str) -> None:
    assert copy_of(tmp_path, digest) is None
