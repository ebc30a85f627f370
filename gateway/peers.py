"""How a configuration names a server that this process talks to: a URL that reads one way, and a key in a file.

A key never stands in the configuration or the environment, and no message quotes one, right or wrong.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from pathlib import Path
from typing import Final

import httpx

from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.yaml_strict import Node, Scalar

HOST_URL: Final = "http://model-host"
"""The origin of requests on the model host's socket; the name is never looked up."""
_URL: Final = re.compile(r"https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.\-]+)(:\d{1,5})?(/[A-Za-z0-9_.\-/]*)?")


def url(node: Node, what: str, problems: Problems) -> str | None:
    """A URL without user, query or fragment, that every parser takes apart in the same way."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and _URL.fullmatch(node.value):
        with contextlib.suppress(httpx.InvalidURL, ValueError):
            parsed = httpx.URL(node.value)
            if parsed.host and (parsed.port is None or 0 < parsed.port <= 65535):
                return node.value
    problems.add(node.place, f"{what} is not a URL, expected `http://host:port/v1` without user, query or fragment")
    return None


def is_local(address: str) -> bool:
    """Whether only this machine answers there."""
    host = httpx.URL(address).host
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def api_base(address: str) -> str:
    """The address up to and with `/v1`, however it was written."""
    return address if address.endswith("/v1") else address.rstrip("/") + "/v1"


def api_key(section: Section, directory: Path) -> str:
    """What the file under `api_key_file` holds, or nothing when there is no such key."""
    if "api_key_file" not in section:
        return ""
    path = directory / section.get("api_key_file", fields.text, "")
    place = section.place_of("api_key_file")
    try:
        key = path.read_bytes().strip()
    except OSError as exc:
        section.problems.add(place, f"`api_key_file` cannot be read: {exc.strerror}")
        return ""
    if not re.fullmatch(rb"[\x21-\x7e]{1,4096}", key):
        section.problems.add(place, "`api_key_file` holds no key, expected one line of printable characters")
        return ""
    return key.decode()
