"""The strict reading of an answer that a guard wrote out: `safe`, or `unsafe` and a line of codes, and nothing else.

For servers that tell no probabilities. Whoever accepts all that begins with `safe` also accepts `safe to build it like
this`; here anything but the grammar is no verdict. Small deviations that leave no doubt are taken and named.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_CONTROL = re.compile(r"<\|[a-z_0-9]{1,64}\|>|</?s>")
_CODE = re.compile(r"[A-Za-z]{1,8}[0-9]{1,3}")
MAX_ANSWER_CHARS = 512


class NotAnAnswer(ValueError):
    """The text is no verdict. The message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """What the guard wrote."""

    unsafe: bool
    codes: tuple[str, ...] = ()
    """Known ones, in their order, once each."""
    unknown: int = 0
    """How many codes there were that this model does not have."""
    anomalies: tuple[str, ...] = ()
    """What deviated from the form: `case`, `spaces`, `repeats`, `unknown_code`."""


def parse_answer(text: str, codes: Collection[str]) -> WrittenAnswer:
    """Read an answer, or raise NotAnAnswer."""
    if len(text) > MAX_ANSWER_CHARS:
        raise NotAnAnswer(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
    plain = _CONTROL.sub("", text.replace("\r\n", "\n")).strip()
    lines = plain.split("\n")
    verdict = lines[0].strip()
    anomalies = {"case"} if verdict != verdict.lower() else set()
    if verdict.lower() == "safe" and len(lines) == 1:
        return WrittenAnswer(False, (), 0, tuple(sorted(anomalies)))
    if verdict.lower() != "unsafe" or len(lines) > 2:
        raise NotAnAnswer("the answer is neither `safe` nor `unsafe` with one line of codes")
    if len(lines) == 1:
        return WrittenAnswer(True, (), 0, tuple(sorted(anomalies)))
    return _with_codes(lines[1], codes, anomalies)


def _with_codes(line: str, codes: Collection[str], anomalies: set[str]) -> WrittenAnswer:
    pieces = line.split(",")
    found = [piece.strip() for piece in pieces]
    if not all(map(_CODE.fullmatch, found)):
        raise NotAnAnswer("the line after `unsafe` is not a list of codes")
    if found != pieces:
        anomalies.add("spaces")
    by_upper = {code.upper(): code for code in codes}
    known = [by_upper[code.upper()] for code in found if code.upper() in by_upper]
    unknown = len(found) - len(known)
    if any(code not in codes for code in found if code.upper() in by_upper):
        anomalies.add("case")
    if unknown:
        anomalies.add("unknown_code")
    if len(set(known)) != len(known):
        anomalies.add("repeats")
    return WrittenAnswer(True, tuple(dict.fromkeys(known)), unknown, tuple(sorted(anomalies)))
