"""`kind: nats` of `audit: {sinks: […]}`: which servers, which stream, and who the gateway is to them.

A log that travels in the clear, servers of which some speak TLS and some do not, and a credentials file that is none
are problems with their place, found before anything starts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.audit.sinks.settings import StreamPlace
from gateway.audit.sinks.stream_login import StreamLogin, parse_login
from policies import fields
from policies.fields import Section

KEYS: Final = (
    "servers",
    "stream",
    "subject",
    "credentials_file",
    "ca_file",
    "certificate_file",
    "key_file",
    "server_name",
)
_STREAM: Final = fields.matching(r"[A-Za-z0-9_\-]{1,64}", "the name of a stream: letters, digits, `_` and `-`")
_SUBJECT: Final = fields.matching(
    r"[A-Za-z0-9_\-]{1,64}(\.[A-Za-z0-9_\-]{1,64}){0,7}", "a subject without wildcards, such as `audit.gate-1`"
)
_SERVER_NAME: Final = fields.matching(r"[A-Za-z0-9.\-:]{1,253}", "a host name or address")
_SCHEMES: Final = ("tls", "nats")


def read_stream(section: Section, file: Callable[[str], Path | None]) -> StreamPlace:
    """The place that an entry of `sinks` describes; `file` gives a file that it names, if that can be read."""
    if find_spec("nats") is None:
        section.problems.add(section.place_of("kind"), "`kind: nats` needs a package", "pip install 'gatehouse[nats]'")
    certificate, key = file("certificate_file"), file("key_file")
    if (certificate is None) != (key is None):
        section.problems.add(section.place, "a sink has both `certificate_file` and `key_file`, or neither")
    return StreamPlace(
        servers=_servers(section),
        stream=section.require("stream", _STREAM, "audit"),
        subject=section.require("subject", _SUBJECT, "audit"),
        login=_login(section, file("credentials_file")),
        ca=file("ca_file"),
        certificate=certificate,
        key=key,
        server_name=section.get("server_name", _SERVER_NAME, ""),
    )


def _servers(section: Section) -> tuple[str, ...]:
    given = section.require("servers", fields.list_of(fields.text), fields.NO_TEXTS)
    place = section.place_of("servers")
    urls = [(text, urlsplit(text)) for text in given]
    for text, url in urls:
        if url.scheme not in _SCHEMES or not url.hostname or url.username or url.path not in ("", "/"):
            section.problems.add(place, f"`{text[:80]}` is no server, expected `tls://HOST:PORT`")
        elif url.scheme == "nats" and not is_loopback(url.hostname):
            told = "a server is `nats://` and not on this machine: records would travel in the clear"
            section.problems.add(place, told, "`tls://`")
    if len({url.scheme for _, url in urls}) > 1:
        section.problems.add(place, "some of `servers` are `tls://` and some are not")
    if not urls and "servers" in section:
        section.problems.add(place, "`servers` is empty")
    return tuple(given) or ("nats://localhost",)


def _login(section: Section, path: Path | None) -> StreamLogin:
    if path is None:
        return StreamLogin()
    try:
        return parse_login(path.read_text())
    except (OSError, ValueError):
        told = "`credentials_file` holds neither credentials of a user nor a name and a password"
        section.problems.add(section.place_of("credentials_file"), told)
        return StreamLogin()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
