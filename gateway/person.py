"""For whom a request says it is made: a claim that decides nothing, goes nowhere, and is written down as a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway import fields
from gateway.jsonstrict import Json

LONGEST: Final = 512


def named_person(top: Mapping[str, Json]) -> str:
    """`safety_identifier`, else `user`, else `metadata.user_id`; empty when the request names nobody.

    Raises BadRequest for one that is no text: what is asked to be erased later must have been understood now.
    """
    metadata = top.get("metadata")
    inner = metadata.get("user_id") if isinstance(metadata, dict) else None
    named = {"safety_identifier": top.get("safety_identifier"), "user": top.get("user"), "metadata.user_id": inner}
    for name, value in named.items():
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST):
            fields.wrong(name, f"a string of at most {LONGEST} characters")
    return next((value for value in named.values() if isinstance(value, str) and value), "")
