"""The files that belong to a policy: itself, and the lists it pins. Whether it means anything is for its loading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.bundles.errors import BundleError
from gateway.bundles.manifest import POLICY
from policies.errors import Problems
from policies.yaml_strict import Node, Scalar, Table, parse


def gathered(file: Path) -> dict[str, bytes]:
    """Path below the policy's folder -> content. BundleError for a path that cannot be in a bundle; OSError."""
    data = file.read_bytes()
    contents = {POLICY: data}
    for name in _lists(parse(data, str(file), Problems())):
        if name in (POLICY, file.name):
            raise BundleError("bundle_malformed", "a list of the policy has the policy's own name")
        contents[name] = (file.parent / name).read_bytes()
    return contents


def _lists(policy: Node) -> Iterator[str]:
    """Files under `list:` of any detector."""
    for detector in _values(_value(policy, "detectors")):
        pinned = _value(detector, "list")
        if isinstance(pinned, Scalar) and isinstance(pinned.value, str):
            yield pinned.value.rpartition("@sha256:")[0]


def _value(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, Table):
        return None
    return next((entry.value for entry in node.entries if entry.key == key), None)


def _values(node: Node | None) -> Iterator[Node]:
    if isinstance(node, Table):
        yield from (entry.value for entry in node.entries)
