"""What generation_config.json says of a checkpoint: how its tokens are drawn, and which of them end an answer.

Requests may say otherwise. A file that is not there says nothing; what one says wrongly is refused by its key.
"""

from __future__ import annotations

from pathlib import Path

from engine.config_shared import read_object
from engine.events import Sampling
from engine.stated import MOST, Stated

NAME = "generation_config.json"


def read_sampling(directory: Path) -> Sampling:
    """How tokens are drawn where a request does not say."""
    stated = _stated(directory / NAME)
    if not stated.flag("do_sample", True):
        return Sampling(temperature=0.0)
    return Sampling(
        temperature=stated.number("temperature", 1.0, 0),
        top_p=stated.number("top_p", 1.0, 0),
        top_k=max(0, stated.whole("top_k", 0, low=-1)),
        min_p=stated.number("min_p", 0.0, 0),
    )


def read_stop_ids(directory: Path) -> frozenset[int]:
    """The union of what both configuration files name as end of an answer."""
    found: set[int] = set()
    for name in (NAME, "config.json"):
        stated = _stated(directory / name)
        where = stated if "eos_token_id" in stated.raw else stated.part("text_config")
        one_or_more = where.raw.get("eos_token_id")
        listed = one_or_more if isinstance(one_or_more, list) else [one_or_more]
        known = [one for one in listed if one is not None]
        found.update(Stated({"eos_token_id": known}).wholes("eos_token_id", 0, MOST) or ())
    return frozenset(found)


def _stated(path: Path) -> Stated:
    return Stated(read_object(path) if path.exists() else {})
