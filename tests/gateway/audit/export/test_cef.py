"""CEF lines: one for each record, whatever a client put into it; parsed here by the format's own rules."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.audit.export.cef import line
from gateway.audit.export.view import View
from tests.gateway.audit.export.golden_files import GOLDEN, LINES, exported

hostile = st.text(max_size=20) | st.lists(
    st.sampled_from(
        ("|", "=", "\\", "\n", "\r", "\r\n", "CEF:0|a|b|", " act=allow", "\u2028", "\x0b", "\x85", "\0", "x")
    ),
    max_size=6,
).map("".join)


def parsed(text: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension of one CEF line."""
    header, at = [], 0
    for _ in range(7):
        end = next(i for i in range(at, len(text)) if text[i] == "|" and not _escaped(text, i))
        header.append(re.sub(r"\\(.)", r"\1", text[at:end]))
        at = end + 1
    rest = text[at:]
    starts = [match for match in re.finditer(r"(?:^| )([A-Za-z0-9]+)=", rest) if not _escaped(rest, match.end() - 1)]
    fields = {}
    for index, match in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else len(rest)
        raw = rest[match.end() : end]
        fields[match[1]] = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), raw)
    return header, fields


def _escaped(text: str, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def test_golden() -> None:
    assert exported("cef") == (GOLDEN / "export.cef").read_bytes()
    assert len(exported("cef").splitlines()) == len(LINES)


@given(model=hostile, code=hostile, kind=hostile, app=hostile)
@example(model="\\", code="a|b", kind="\\|", app="=\\=\\")
def test_a_record_cannot_make_a_second_event_nor_another_field(model: str, code: str, kind: str, app: str) -> None:
    record = {
        "type": kind,
        "app": app,
        "target": {"model_req": model, "upstream": "engine"},
        "decision": {"code": code, "action": "block", "outcome": "block"},
        "ts": "1800000000000000000",
    }
    text = line(View(record, b"")).decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    header, fields = parsed(text[:-1])
    assert header[:4] == ["CEF:0", "Gatehouse", "Gatehouse", "0"]
    expected = {"rt": "1800000000000", "externalId": "0", "act": "block", "outcome": "block", "reason": seen(code)}
    expected |= {"sourceServiceName": seen(app), "destinationServiceName": "engine", "cs6Label": "leaf"}
    expected |= {"cs5Label": "model", "cs5": seen(model)} if model else {}
    del fields["cs6"]
    assert fields == {key: value for key, value in expected.items() if value}


def seen(text: str) -> str:
    return "".join(char if char.isprintable() or char in "\r\n" else "?" for char in text)
