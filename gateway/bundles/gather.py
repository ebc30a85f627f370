"""The files that belong to a policy: itself, what it extends, the lists they pin and its corpora, all in one folder.

Whether it means anything is for its loading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.bundles.errors import BundleError
from gateway.bundles.manifest import POLICY
from policies.errors import Problems
from policies.extending import PINNED
from policies.yaml_strict import Listing, Node, Scalar, Table, parse


def gathered(file: Path, own: str = POLICY) -> dict[str, bytes]:
    """Path below the policy's folder -> content. BundleError for a path that cannot be in a bundle; OSError.

    `own` is what the policy itself is called there.
    """
    data = file.read_bytes()
    contents = {own: data}
    trees = [parse(data, str(file), Problems())]
    for name in _corpora(trees[0]):
        _add(contents, file, name, own)
    while trees:
        tree = trees.pop()
        for name in _lists(tree):
            _add(contents, file, name, own)
        for name in _parents(tree):
            if name == own or name not in contents:
                trees.append(parse(_add(contents, file, name, own), name, Problems()))
    return contents


def _add(contents: dict[str, bytes], policy: Path, name: str, own: str) -> bytes:
    if name in (own, policy.name):
        raise BundleError("bundle_malformed", "a list, corpus or parent of the policy has the policy's own name")
    contents[name] = (policy.parent / name).read_bytes()
    return contents[name]


def _parents(policy: Node) -> Iterator[str]:
    """Files of the policies that it extends."""
    listed = _value(policy, "extends")
    for item in listed.items if isinstance(listed, Listing) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str) and re.fullmatch(PINNED, item.value):
            yield item.value.partition("@")[0] + ".yaml"


def _corpora(policy: Node) -> Iterator[str]:
    """Files under `corpus:` of `eval`. Those of a parent are about the parent."""
    listed = _value(policy, "eval")
    for item in listed.items if isinstance(listed, Listing) else ():
        pinned = _value(item, "corpus")
        if isinstance(pinned, Scalar) and isinstance(pinned.value, str):
            yield pinned.value.rpartition("@sha256:")[0]


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
