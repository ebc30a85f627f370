"""The models that a host is told to serve, one value for each: the `--models` argument, checked before torch is there.

What cannot be meant is refused with code `usage` and the model's name; what a directory then turns out to hold is a
later question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.adapter_shelf import split
from engine.choices import DEVICES, KV_PRECISIONS, PRECISIONS, ROLES, TASKS
from engine.errors import BadRequest, ModelRefused
from engine.options import Options

TYPED = (
    ("deterministic", bool),
    ("kv_bytes", int),
    ("kv_precision", str),
    ("offload", str),
    ("resident_bytes", int),
    ("processes", int),
    ("device", str),
    ("adapters", dict),
)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model to serve, as the supervisor names it."""

    name: str
    path: Path
    task: str
    precision: str = "auto"

    kv_bytes: int = 0
    """Memory for keys and values of running answers and of kept beginnings; bounds the longest request. Zero: 1 GiB,
    or more where 8192 positions need more."""
    kv_precision: str = "auto"
    """How keys and values are kept: as the layers compute, `int8` or `fp8`."""
    offload: str = ""
    """`experts`: routed experts stay in their file, mapped, and are read when a token comes to them."""
    resident_bytes: int = 0
    """How much of them may be in memory at once; zero: as much as the system has room for."""
    processes: int = 1
    """That share each layer of a generating model between them."""
    device: str = "auto"
    """`auto`: a GPU where there is one with enough memory, else the processor."""
    role: str = "chat"
    """`guard`: a generating model whose verdicts are waited for, so it goes before those that chat."""
    deterministic: bool = False
    """Scores that are equal to the last bit however requests arrive, for replays; slower."""
    adapters: tuple[tuple[str, Path], ...] = ()
    """(name, directory) of each that is served from the start, as `model:name`."""

    @property
    def options(self) -> Options:
        """How it is run, of a model that generates."""
        return Options(
            kv_bytes=self.kv_bytes,
            precision=self.precision,
            is_deterministic=self.deterministic,
            kv_precision=self.kv_precision,
            offload=self.offload,
            resident_bytes=self.resident_bytes,
            processes=self.processes,
            device=self.device,
        )

    def __post_init__(self) -> None:
        self._expect("role", self.role, ROLES)
        self._expect("task", self.task, TASKS)
        self._expect("precision", self.precision, PRECISIONS[self.task])
        self._expect("kv_precision", self.kv_precision, KV_PRECISIONS[self.task])
        self._expect("device", self.device, DEVICES)
        if self.kv_bytes < 0:
            raise self._wrong(f"kv_bytes is {self.kv_bytes}, expected 0 or more")
        if self.offload not in ("", "experts") or (self.offload and self.task != "generate"):
            raise self._wrong(f"offload is `{self.offload}`, expected `experts`, of a model that generates")
        if self.resident_bytes < 0 or (self.resident_bytes and not self.offload):
            raise self._wrong("resident_bytes is for experts that are offloaded")
        if self.processes < 1 or (self.processes > 1 and self.task != "generate"):
            raise self._wrong(f"processes is {self.processes}, expected 1, or more of a model that generates")
        if self.adapters and self.task != "generate":
            raise self._wrong("`adapters` are for models that generate")

    def _expect(self, key: str, found: str, known: Sequence[str]) -> None:
        if found not in known:
            expected = f"one of {', '.join(known)}" if len(known) > 2 else " or ".join(known)
            raise self._wrong(f"{key} is `{found}`, expected {expected}")

    def _wrong(self, problem: str) -> ModelRefused:
        return ModelRefused("usage", f"model `{self.name}`: {problem}")


def parse_specs(raw: str) -> tuple[ModelSpec, ...]:
    """The `--models` argument. ModelRefused with code `usage` says what is wrong with it."""
    try:
        entries = json.loads(raw)
        known = {"name", "path", "task", "precision", "role", *(key for key, _ in TYPED)}
        if not all(set(entry) <= known for entry in entries):
            raise ValueError("unknown key")
        if not all(type(entry.get(key, kind())) is kind for entry in entries for key, kind in TYPED):
            raise ValueError("mistyped")
        specs = tuple(
            ModelSpec(**{**entry, "path": Path(entry["path"]), "adapters": _adapters(entry)}) for entry in entries
        )
    except (ValueError, TypeError, KeyError) as exc:
        told = '--models: expected [{"name": …, "path": …, "task": "classify"|"generate"}, …]'
        raise ModelRefused("usage", told) from exc
    names = [spec.name for spec in specs] + [name for spec in specs for name, _ in spec.adapters]
    if not specs or len(set(names)) != len(names):
        raise ModelRefused("usage", "--models: expected at least one model, each name once")
    return specs


def _adapters(entry: Mapping[str, Any]) -> tuple[tuple[str, Path], ...]:
    """By the names under which they are served."""
    named = {f"{entry['name']}:{name}": Path(path) for name, path in entry.get("adapters", {}).items()}
    for name in named:
        try:
            split(name)
        except BadRequest as exc:
            raise ValueError("no name of an adapter") from exc
    return tuple(named.items())
