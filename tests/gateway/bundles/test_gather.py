"""A bundle takes along what its policy pins, and nothing else that lies beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway.bundles.errors import BundleError
from gateway.bundles.gather import gathered

POLICY = """\
gatehouse: policy/v1
detectors:
  one: {{use: terms, list: '{pinned}'}}
  two: {{use: regex, pattern: x}}
"""


def written(folder: Path, name: str = "lists/names.txt") -> Path:
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "lists" / "names.txt").write_bytes(b"Acme\n")
    (folder / "secret.key").write_bytes(b"not to travel")
    (folder / "house.yaml").write_text(POLICY.format(pinned=f"{name}@sha256:{hashlib.sha256(b'Acme').hexdigest()}"))
    return folder / "house.yaml"


def test_lists_travel_with_the_policy(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert gathered(file) == {"policy.yaml": file.read_bytes(), "lists/names.txt": b"Acme\n"}


def test_a_list_with_the_policys_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        gathered(written(tmp_path, "house.yaml"))


def test_a_policy_may_keep_its_name_and_then_another_file_have_that_of_a_bundles_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("x: 1")
    (tmp_path / "ward.yaml").write_text(f"extends: [policy@sha256:{'0' * 64}]")
    assert sorted(gathered(tmp_path / "ward.yaml", "ward.yaml")) == ["policy.yaml", "ward.yaml"]


def test_a_list_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        gathered(written(tmp_path, "gone.txt"))


def test_what_the_policy_extends_travels_too_and_its_lists(tmp_path: Path) -> None:
    base = written(tmp_path).rename(tmp_path / "baseline.yaml")
    pin = "sha256:" + "0" * 64
    (tmp_path / "ward.yaml").write_text(f"extends: [baseline@{pin}]")
    (tmp_path / "clinic.yaml").write_text(f"extends: [ward@{pin}, baseline@{pin}]")
    found = gathered(tmp_path / "clinic.yaml")
    assert sorted(found) == ["baseline.yaml", "lists/names.txt", "policy.yaml", "ward.yaml"]
    assert found["baseline.yaml"] == base.read_bytes()


@pytest.mark.parametrize("name", ["clinic", "policy"])
def test_a_parent_with_the_policys_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "policy.yaml").write_text("x")
    (tmp_path / "clinic.yaml").write_text(f"extends: [{name}@sha256:{'0' * 64}]")
    with pytest.raises(BundleError):
        gathered(tmp_path / "clinic.yaml")
