"""`audit: {anchors: [...]}` of the configuration to anchors, or every problem with its place.

Names are unique, as records, metric and anchors.log go by them. A key file that cannot be read is a problem here and
not at the first head, and so is a time stamp server without the package that checks what it answers.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway import peers
from gateway.audit.anchors.settings import AnchorSettings, FileDrop, TimestampAt, WitnessAt
from gateway.audit.cosignature import WitnessKey, parse_witness_key
from gateway.audit.errors import TrustError
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.yaml_strict import Broken, Listing, Node

_OF_ALL: Final = ("name", "kind", "every", "max_age")
_OF_KIND: Final = {
    "file": ("directory",),
    "witness": ("url", "key", "ca", "timeout"),
    "rfc3161": ("url", "roots", "ca", "timeout"),
}
_MONTH_MS: Final = 31 * 24 * 3_600_000


def read_anchors(node: Node | None, base: Path, problems: Problems) -> tuple[AnchorSettings, ...]:
    """The anchors; paths are relative to `base`."""
    if node is None or isinstance(node, Broken):
        return ()
    if not isinstance(node, Listing):
        problems.add(node.place, "`anchors` is not a list")
        return ()
    found = [one for item in node.items if (one := _anchor(item, base, problems))]
    if len({one.name for one in found}) != len(found):
        problems.add(node.place, "two entries of `anchors` have the same name")
    if len({_address(one.place) for one in found}) != len(found):
        # They would take each other's heads for those of a second log of this name.
        problems.add(node.place, "two entries of `anchors` are the same place")
    return tuple(found)


def _address(place: FileDrop | WitnessAt | TimestampAt) -> tuple[str, str]:
    return place.kind, str(place.directory) if isinstance(place, FileDrop) else place.url.rstrip("/")


def _anchor(node: Node, base: Path, problems: Problems) -> AnchorSettings | None:
    known = {name for names in _OF_KIND.values() for name in names}
    section = Section.open(node, "an anchor", problems, (*_OF_ALL, *sorted(known)))
    if section is None:
        return None
    before = len(problems)
    kind = section.require("kind", fields.choice(tuple(_OF_KIND)), "")
    for name in sorted(known - set(_OF_KIND.get(kind, known))):
        if name in section:
            problems.add(section.place_of(name), f"`{name}` is not for an anchor of the kind `{kind}`")
    name = section.require("name", fields.site_name, "")
    every_s = section.get("every", fields.duration_ms(1000), 10_000) / 1000
    max_age_ms = section.get("max_age", fields.duration_ms(1000, _MONTH_MS), 0)
    place = _place(section, kind, base)
    if place is None or len(problems) != before:
        return None
    try:
        return AnchorSettings(name, place, every_s, max_age_ms / 1000 if max_age_ms else None)
    except ValueError as exc:
        problems.add(section.place_of("max_age"), str(exc))
        return None


def _place(section: Section, kind: str, base: Path) -> FileDrop | WitnessAt | TimestampAt | None:
    if kind == "file":
        return FileDrop(base / section.require("directory", fields.text, ""))
    if not kind:
        return None
    url = section.require("url", peers.url, "")
    ca = _file(section, "ca", base)
    if kind == "witness":
        key = _key(section, _file(section, "key", base, required=True))
        timeout_s = section.get("timeout", fields.duration_ms(100, 60_000), 5000) / 1000
        return WitnessAt(url, key, ca, timeout_s) if key is not None else None
    if find_spec("rfc3161_client") is None:
        told = "`rfc3161` needs a package that is not installed"
        section.problems.add(section.place_of("kind"), told, "pip install 'gatehouse[timestamps]'")
    roots = _file(section, "roots", base, required=True)
    timeout_s = section.get("timeout", fields.duration_ms(100, 60_000), 10_000) / 1000
    return TimestampAt(url, roots, ca, timeout_s) if roots is not None else None


def _file(section: Section, name: str, base: Path, *, required: bool = False) -> Path | None:
    """A file that is there."""
    if name not in section and not required:
        return None
    path = base / section.require(name, fields.text, "")
    if name in section and not path.is_file():
        section.problems.add(section.place_of(name), f"`{name}` names a file that is not there")
        return None
    return path


def _key(section: Section, path: Path | None) -> WitnessKey | None:
    if path is None or "key" not in section:
        return None
    try:
        return parse_witness_key(path.read_text())
    except (OSError, UnicodeDecodeError, TrustError) as exc:
        told = str(exc) if isinstance(exc, TrustError) else "the file cannot be read"
        section.problems.add(section.place_of("key"), f"`key`: {told}")
        return None
