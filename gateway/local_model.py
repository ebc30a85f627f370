"""An engine that the local model host runs: which checkpoint, in which form, under which names.

The starter engine is one of these, and so is a site's own Llama 4. What the host can do with a checkpoint it says when
it loads it; here is only what a configuration decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policies.errors import Place, Problems

DEVICES: Final = ("auto", "cpu", "cuda")
_FORM: Final = ("precision", "device", "kv_bytes", "kv_precision", "offload", "resident_bytes", "processes")
"""What the model host calls by the same names."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One generating model of the model host."""

    name: str
    """Its public name, and the host's."""
    path: Path
    """The checkpoint's directory, with its manifest."""
    place: Place | None = None
    """Where the configuration names the directory; None for the starter engine."""
    precision: str = "auto"
    device: str = "auto"
    """`auto`: a GPU where torch sees one with enough memory, else the processor."""
    kv_bytes: int = 0
    """Memory for keys and values; 0: as the model host has it."""
    kv_precision: str = "auto"
    offload: str = ""
    """`experts`: they stay in their file."""
    resident_bytes: int = 0
    """How much of them may be in memory; 0: as the system has room."""
    processes: int = 1
    """That share each layer between them."""
    adapters: tuple[tuple[str, Path], ...] = ()
    """(name, directory) of each that is served from the start."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of all that it answers to at the start."""
        return (self.name, *(f"{self.name}:{adapter}" for adapter, _ in self.adapters))

    def as_host_model(self) -> dict[str, object]:
        """What the model host is told of it; what is not said is as the host has it."""
        said: dict[str, object] = {"name": self.name, "path": str(self.path), "task": "generate"}
        usual = LocalModel(self.name, self.path)
        said |= {key: value for key in _FORM if (value := getattr(self, key)) != getattr(usual, key)}
        if self.adapters:
            said["adapters"] = {name: str(path) for name, path in self.adapters}
        return said


def check_checkpoints(models: Iterable[LocalModel]) -> None:
    """Whether each is where the configuration says. Raises FileErrors with every place that is wrong."""
    problems = Problems()
    for model in models:
        if model.place is None:
            continue
        if not model.path.is_dir():
            problems.add(model.place, f"`path` is `{model.path}`, which is not a directory")
        elif not (model.path / "manifest.json").is_file():
            told = f"`{model.path}` has no manifest.json"
            problems.add(model.place, told, f"gatehouse models add {model.path} --engine --licence LICENCE")
    problems.raise_if_any()
