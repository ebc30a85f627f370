"""What guards read where a request does not hold plain text: content in pieces, and schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from gateway.jsonstrict import Json, dumps
from gateway.wire_picture import PICTURES


def joined(pieces: Iterable[dict[str, Json]]) -> list[dict[str, Json]]:
    """Neighbouring texts as one, in lines. A model reads them without a seam, so what is judged must have none."""
    joined: list[dict[str, Json]] = []
    for kind, same in groupby(pieces, lambda piece: str(piece["type"])):
        if kind in PICTURES:
            joined.extend(same)
        else:
            joined.append({"type": kind, kind: "\n".join(str(piece[kind]) for piece in same)})
    return joined


def schema_text(value: Json) -> str:
    """A schema as guards read it: its JSON, and below it each string of which the JSON shows another spelling.

    In JSON the line break before a word is the letter n: a rule that looks for the word would not find it.
    """
    text = dumps(value).decode()
    return "\n".join((text, *_escaped_strings(value))) if "\\" in text else text


def _escaped_strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        if len(dumps(value).decode()) != len(value) + 2:
            yield value
    elif isinstance(value, list | dict):
        for item in value if isinstance(value, list) else (*value, *value.values()):
            yield from _escaped_strings(item)
