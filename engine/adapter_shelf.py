"""The adapters that a host serves: each a model of its own name, `base:adapter`, over its base model's lane.

They come and go while the host runs. A request holds the adapter it began with, so taking one away stops new requests
only. Its digest is made of the base model's and its own: an answer says which of both spoke. Two that have
the same name cannot be served; a directory that is no adapter of the base is refused and changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import BadRequest, ModelRefused, NotFound
from engine.logs import log

if TYPE_CHECKING:
    from engine.host import ServedGenerator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_ADAPTERS = 64


def split(name: str) -> tuple[str, str]:
    """`base:adapter` to both names; BadRequest unless it is such a name."""
    base, _, adapter = name.rpartition(":")
    if not base or not NAME.fullmatch(adapter):
        told = "expected `base:adapter`, the adapter's own name of up to 64 letters, digits, `.`, `_` and `-`"
        raise BadRequest("invalid_parameter", f"`name`: {told}", "name")
    return base, adapter


def digest_of(base: str, adapter: str) -> str:
    """The identity of the weights that answer under the adapter's name."""
    return "sha256:" + hashlib.sha256(f"{base}\n{adapter}\n".encode()).hexdigest()


def adapted(base: ServedGenerator, name: str, directory: Path) -> ServedGenerator:
    """The base model with the adapter of a directory. Reads files; ModelRefused when they are no adapter of it."""
    generator = base.generator.adapted(directory)
    if generator.adapter is None:
        raise AssertionError("an adapted model has an adapter")
    digest = digest_of(base.digest, generator.adapter.digest)
    spec = replace(base.spec, name=name, path=directory, adapters=())
    log.info("adapter_loaded", model=name, weights=digest, rank=generator.adapter.rank)
    return replace(base, spec=spec, digest=digest, generator=generator)


class Shelf:
    """By served name. One thread at a time adds, the server's takes away: each is one act of a dict, so none waits."""

    def __init__(self) -> None:
        self._served: dict[str, ServedGenerator] = {}

    def get(self, name: str) -> ServedGenerator | None:
        return self._served.get(name)

    def all(self) -> list[ServedGenerator]:
        return list(self._served.values())

    def check(self, name: str, is_taken: Callable[[str], bool]) -> None:
        """BadRequest when nothing more can be served under this name."""
        if name in self._served or is_taken(name):
            told = f"`{name}` is served already; take that one away first"
            raise BadRequest("adapter_exists", told, "name")
        if len(self._served) >= MAX_ADAPTERS:
            told = f"{len(self._served)} adapters are served, and there is room for no more"
            raise BadRequest("too_many_adapters", told, "name")

    def put(self, model: ServedGenerator) -> None:
        self._served[model.spec.name] = model

    def remove(self, name: str) -> None:
        if self._served.pop(name, None) is None:
            raise NotFound("adapter_not_found", "no adapter of that name is served here", "name")
        log.info("adapter_removed", model=name)


def refused(error: ModelRefused) -> BadRequest:
    """What cannot be loaded while the host runs is the caller's to repair; at the start it would end the host."""
    return BadRequest(error.code, error.problem, "path")
