"""Records as CEF lines (ArcSight Common Event Format 0), for SIEMs that take syslog.

One record is one line, whatever stands in it: what would end a line, a header field or a value is escaped as the format
says, and characters that no terminal prints become `?`. Transport is not ours; over UDP nobody knows what arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.audit.export.view import PRODUCT, VENDOR, Severity, View, printable

_SEVERITY: Final = {Severity.INFORMATION: 1, Severity.LOW: 3, Severity.MEDIUM: 6, Severity.HIGH: 8}
_LABELLED: Final = 6
"""CEF has six custom strings."""


def line(view: View) -> bytes:
    """One line with its end."""
    version = view.text("inst", "version") or "0"
    name = " ".join(part for part in (view.type, view.code) if part)
    header = [VENDOR, PRODUCT, version, view.type or "unknown", name or "unknown", str(_SEVERITY[view.severity])]
    extension = " ".join(f"{key}={_value(value)}" for key, value in _fields(view) if value)
    return f"CEF:0|{'|'.join(map(_head, header))}|{extension}\n".encode()


def _fields(view: View) -> Iterator[tuple[str, str]]:
    yield "rt", str(view.ts_ns // 10**6)
    yield "externalId", str(view.seq)
    yield "deviceExternalId", view.origin
    yield "act", view.action
    yield "outcome", view.outcome
    yield "reason", view.code
    yield "suser", view.who
    yield "sourceServiceName", view.text("app")
    yield "requestContext", view.text("http", "route")
    yield "destinationServiceName", view.text("target", "upstream")
    bytes_in = view.number("http", "bytes_in")
    yield "in", "" if bytes_in is None else str(bytes_in)
    custom = {
        "request": view.text("req"),
        "tenant": view.text("tenant"),
        "rules": " ".join((*view.rules, *view.flags)),
        "policy": " ".join(filter(None, (view.text("policy", "name"), view.policy_digest))),
        "model": view.model,
        "leaf": view.leaf,
    }
    assert len(custom) <= _LABELLED
    for number, (label, value) in enumerate(custom.items(), 1):
        if value:
            yield f"cs{number}Label", label
            yield f"cs{number}", value
    if view.highest:
        name, ppm = max(view.highest.items(), key=lambda item: (item[1], item[0]))
        yield "cn1Label", "highest score in ppm"
        yield "cn1", str(ppm)
        yield "cat", name


def _head(text: str) -> str:
    return printable(text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("\r", " "))


def _value(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n")
    return printable(text)
