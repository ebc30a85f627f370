"""Redactions written into the request that goes upstream.

A part's path is a JSON pointer into the body; the text there is replaced and everything else stays as it is. Parts
that are structured (tool schemas, tool arguments) must still be valid JSON afterwards, or the redaction is impossible.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from gateway.jsonstrict import Json
from gateway.redaction import is_same_form, redacted
from guards.verdict import Part, Scope
from policies.model import Redaction


def with_redactions(
    body: dict[str, Json], parts: Sequence[Part], redactions: Sequence[Redaction]
) -> dict[str, Json] | None:
    """A copy of `body` with the spans replaced, or None if a structured part cannot carry it."""
    texts = {part.path: part for part in parts}
    out = copy.deepcopy(body)
    for path, cuts in sorted(_by_path(redactions).items()):
        part = texts[path]
        text = redacted(part.text, cuts)
        if part.scope is Scope.TOOL_CALL and not is_same_form(part, text):
            return None
        if part.scope is Scope.TOOL_SCHEMA or not _set(out, path, text):
            return None
    return out


def kept_parts(parts: Iterable[Part], redactions: Sequence[Redaction]) -> Iterator[Part]:
    """The parts as they may be kept, sealed: without what a rule redacts `before_audit`, whatever became of them."""
    cuts = _by_path(cut for cut in redactions if cut.before_audit)
    for part in parts:
        mine = cuts.get(part.path)
        yield replace(part, text=redacted(part.text, mine), preceding="") if mine else part


def _by_path(redactions: Iterable[Redaction]) -> dict[str, list[Redaction]]:
    """A request of two megabytes has room for tens of thousands of parts, each with its own."""
    by_path: dict[str, list[Redaction]] = {}
    for cut in redactions:
        by_path.setdefault(cut.path, []).append(cut)
    return by_path


def _set(body: Json, path: str, text: str) -> bool:
    *parents, last = path.split("/")[1:]
    node = body
    for step in parents:
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            return False
    if isinstance(node, dict) and isinstance(node.get(last), str):
        node[last] = text
        return True
    if isinstance(node, list) and last.isdigit() and int(last) < len(node) and isinstance(node[int(last)], str):
        node[int(last)] = text
        return True
    return False
