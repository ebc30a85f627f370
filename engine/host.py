"""The models of one process: verified, loaded, warmed, and behind one engine thread.

Loading happens beside the server, which answers 503 until all models are there. Verification comes first, for all of
them, before torch is imported: a wrong byte is reported within a second. A directory that cannot be served is a
ModelRefused and ends the process; there is no serving of the other models without it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from engine import manifest
from engine.adapter_shelf import Shelf, adapted, refused, split
from engine.batching import ClassifyLane
from engine.errors import BadRequest, ModelRefused, NotFound, Unavailable
from engine.logs import log
from engine.loop import EngineLoop
from engine.spec import ModelSpec
from engine.tokens import TextTokenizer

if TYPE_CHECKING:
    from engine.classifier import ClassifierInfo
    from engine.generator import Generator
    from engine.scheduler import GenerateLane

ENGINES = 2
"""Engine threads, if there are as many cores: one for guards while the other is inside a step of an answer."""


@dataclass(frozen=True, slots=True)
class ServedClassifier:
    """A classifier that answers."""

    spec: ModelSpec
    digest: str
    info: ClassifierInfo
    tokenizer: TextTokenizer | None
    lane: ClassifyLane
    is_guard: bool = True

    @property
    def max_model_len(self) -> int:
        return self.info.max_tokens

    @property
    def precision(self) -> str:
        return self.info.precision


@dataclass(frozen=True, slots=True)
class ServedGenerator:
    """A model that answers in text."""

    spec: ModelSpec
    digest: str
    generator: Generator

    @property
    def is_guard(self) -> bool:
        return self.spec.role == "guard"

    @property
    def lane(self) -> GenerateLane:
        return self.generator.lane

    @property
    def max_model_len(self) -> int:
        return self.generator.lane.max_model_len

    @property
    def precision(self) -> str:
        return self.generator.precision


Served: TypeAlias = ServedClassifier | ServedGenerator


class Host:
    """All models and the loop. `failure` says why there is nothing to serve and never will be."""

    def __init__(self, specs: tuple[ModelSpec, ...], threads: int = 0) -> None:
        self.specs, self._threads = specs, threads or os.cpu_count() or 1
        self._ended: Callable[[], None] = lambda: None
        self.failure: ModelRefused | None = None
        self.gave_up = False
        self.started = int(time.time())
        self._served: dict[str, Served] = {}
        self._shelf, self._adding = Shelf(), threading.Lock()
        self._loop: EngineLoop | None = None

    def load_in_thread(self, ended: Callable[[], None]) -> None:
        """Start loading. `ended` is called, from any thread, when there is no more reason to run."""
        self._ended = ended
        threading.Thread(target=self._load_or_fail, name="loader", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        return self._loop is not None and not self.gave_up

    @property
    def loop(self) -> EngineLoop:
        if self._loop is None:
            raise Unavailable("loading", "the models are still loading")
        return self._loop

    def served(self) -> list[Served]:
        """The models, one for each lane."""
        return list(self._served.values())

    def adapters(self) -> list[ServedGenerator]:
        """What runs in the lane of one of them, under a name of its own."""
        return self._shelf.all()

    def add_adapter(self, name: str, directory: Path) -> ServedGenerator:
        """Read files and serve them as `base:adapter`. Takes a while, one at a time; RequestError when it cannot be."""
        base_name, _ = split(name)
        base = self.generator(base_name)
        if base.generator.adapter is not None:
            raise BadRequest("invalid_parameter", "`name`: an adapter is added to a model, not to an adapter", "name")
        with self._adding:
            self._shelf.check(name, self._served.__contains__)
            try:
                model = adapted(base, name, directory)
            except ModelRefused as exc:
                raise refused(exc) from exc
            except OSError as exc:
                told = f"`{directory}` cannot be read: {exc.strerror}"
                raise BadRequest("file_unreadable", told, "path") from exc
            self._shelf.put(model)
        return model

    def remove_adapter(self, name: str) -> None:
        """New requests find it no more; those that run with it go on. NotFound when there is none."""
        _ = self.loop
        self._shelf.remove(name)

    def classifier(self, name: str) -> ServedClassifier:
        _ = self.loop
        model = self._served.get(name)
        if not isinstance(model, ServedClassifier):
            raise NotFound("model_not_found", "no model of that name is served here for `classify`", "model")
        return model

    def generator(self, name: str) -> ServedGenerator:
        _ = self.loop
        model = self._served.get(name) or self._shelf.get(name)
        if not isinstance(model, ServedGenerator):
            raise NotFound("model_not_found", "no model of that name is served here for `generate`", "model")
        return model

    def stop(self, timeout_s: float) -> None:
        if self._loop is not None:
            self._loop.stop(timeout_s)

    def _load_or_fail(self) -> None:
        try:
            self._load()
        except ModelRefused as exc:
            self.failure = exc
            self._ended()
        # An error nobody foresaw must not leave a process that says "loading" for ever: nor may a panic of a library in
        # Rust, which is no Exception.
        except BaseException as exc:  # noqa: BLE001
            log.error("load_failed", error=type(exc).__name__)
            self.gave_up = True
            self._ended()

    def _load(self) -> None:
        begun = time.monotonic()
        digests = {spec.name: manifest.verify(spec.path).digest for spec in self.specs}
        for spec in self.specs:
            for _, path in spec.adapters:
                manifest.verify(path)
        # Set before torch is imported: its threads must sleep, not spin, while they wait for each other. Measured
        # where other processes use the same cores: spinning makes a step of two threads seven times slower.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        loaded = {spec.name: self._loaded(spec, digests[spec.name]) for spec in self.specs}
        chat = [model.lane for model in loaded.values() if isinstance(model, ServedGenerator) and not model.is_guard]
        guards = [model.lane for model in loaded.values() if model.is_guard]
        loop = EngineLoop(guards, chat, self._give_up, self._shares())
        loop.start()
        self._served, self._loop = loaded, loop
        log.info("host_ready", models=len(loaded), seconds=round(time.monotonic() - begun, 2))

    def _loaded(self, spec: ModelSpec, digest: str) -> Served:
        """With the adapters that it has from the start."""
        model = _load_spec(spec, digest)
        told = {"weights": model.digest, "precision": model.precision, "max_model_len": model.max_model_len}
        if isinstance(model, ServedGenerator):
            told["device"] = model.generator.device.type
            for name, path in spec.adapters:
                self._shelf.put(adapted(model, name, path))
        log.info("model_loaded", model=spec.name, task=spec.task, **told)
        return model

    def _shares(self) -> list[Callable[[], None]]:
        """One engine thread for each share of the cores. torch's setting belongs to the thread that makes it."""
        import torch

        engines = min(ENGINES, self._threads)
        return [lambda: torch.set_num_threads(self._threads // engines)] * engines

    def _give_up(self) -> None:
        self.gave_up = True
        self._ended()


def _load_spec(spec: ModelSpec, digest: str) -> Served:
    if spec.task == "generate":
        from engine.generator import load_generator

        return ServedGenerator(spec, digest, load_generator(spec.path, spec.options))
    from engine.classifier import load_classifier

    classifier = load_classifier(spec.path, spec.precision, spec.deterministic, spec.device)
    path = spec.path / "tokenizer.json"
    tokenizer = TextTokenizer.from_file(path) if path.exists() else None
    return ServedClassifier(spec, digest, classifier.info, tokenizer, ClassifyLane(classifier))
