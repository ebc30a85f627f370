"""`engine:` and `engines:` of gatehouse.yaml: the model servers that judged requests go to, and what each is called.

`engine` is the short form for one. With several, a public model name belongs to exactly one of them, so that nobody has
to guess where a text went. An engine is a server at a URL, or a model of the local model host: a checkpoint of the
site's, or the starter engine. Nothing is opened here but key files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway import peers
from gateway.local_model import DEVICES, LocalModel
from gateway.peers import HOST_URL
from gateway.upstream import UpstreamSettings
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.yaml_strict import Entry, Node, Scalar

STARTER_MODEL: Final = "gatehouse-starter"
MOST: Final = 32
"""Engines. Each has a probe every second, and a place in every list of models."""
_REMOTE: Final = ("api_key_file", "first_byte_timeout", "connect_timeout", "total_timeout", "models", "tokenizer")
_LOCAL: Final = ("model", "precision", "device", "kv", "kv_precision", "offload", "resident", "processes")
_WAYS: Final = ("starter", "path", "url")
_KNOWN: Final = (*_WAYS, "class", "adapters", *_REMOTE, *_LOCAL)
_PRECISIONS: Final = ("auto", "fp32", "bf16", "fp8", "int8", "int4")
_OFFLOADS: Final = ("experts",)
MOST_PROCESSES: Final = 16
_KV_PRECISIONS: Final = ("auto", "int8", "fp8")
_MODEL: Final = fields.matching(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}", "1 to 128 letters, digits and `_ . -`")
_ADAPTER: Final = fields.matching(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", "1 to 64 letters, digits and `_ . -`")

Engines = tuple[UpstreamSettings, ...]
"""The first one is meant where none is named."""


def read_engines(top: Section, directory: Path, problems: Problems) -> Engines:
    """Whichever of the two forms there is. Empty after a problem."""
    reader = _Reader(directory, problems)
    one, several = top.node("engine"), top.node("engines")
    if (one is None) == (several is None):
        told = "`engine` is missing" if one is None else "there is an `engine` and there are `engines`"
        hint = "`{starter: true}`, `{path: …}` or `{url: …}`" if one is None else "one of them"
        problems.add(top.place_of("engine"), told, hint)
        return ()
    if one is not None:
        found = reader.engine(one, "`engine`", "")
        return (found,) if found else ()
    assert several is not None
    return reader.engines(several)


class _Reader:
    def __init__(self, directory: Path, problems: Problems) -> None:
        self._directory, self._problems = directory, problems

    def engines(self, node: Node) -> Engines:
        table = fields.table(node, "`engines`", self._problems)
        entries = table.entries if table else ()
        if table and not 1 <= len(entries) <= MOST:
            self._problems.add(table.place, f"`engines` has {len(entries)} entries, expected 1 to {MOST}")
        found = [(entry, one) for entry in entries if (one := self._named(entry))]
        self._refuse_repeated(found)
        return tuple(one for _, one in found)

    def _named(self, entry: Entry) -> UpstreamSettings | None:
        fields.site_name(Scalar(entry.place, entry.key, entry.key), "engine", self._problems)
        return self.engine(entry.value, f"engine `{entry.key[:40]}`", entry.key)

    def _refuse_repeated(self, found: list[tuple[Entry, UpstreamSettings]]) -> None:
        """A public name that two engines have would go to whichever came first."""
        owners: dict[str, str] = {}
        for entry, one in found:
            for name, _ in one.models:
                if name in owners:
                    told = f"model `{name}` is served by the engines `{owners[name]}` and `{one.name}`"
                    self._problems.add(entry.place, told, "another public name for one of them, under `models`")
                owners.setdefault(name, one.name)

    def engine(self, node: Node, what: str, name: str) -> UpstreamSettings | None:
        section = Section.open(node, what, self._problems, (*_KNOWN, *(() if name else ("name",))))
        if section is None:
            return None
        is_starter = section.get("starter", fields.boolean, False)
        if is_starter + ("path" in section) + ("url" in section) != 1:
            self._problems.add(section.place, f"{what} has one of `starter: true`, `path` and `url`")
            return None
        if "url" in section:
            return self._remote(section, name)
        self._refuse(section, _REMOTE, "the model host runs it")
        if is_starter:
            self._refuse(section, _LOCAL, "the starter engine has its own")
            return self._in_host(
                section, name or section.get("name", fields.site_name, "starter"), self._starter(section)
            )
        return self._in_host(
            section, name or section.get("name", fields.site_name, "engine"), self._checkpoint(section)
        )

    def _refuse(self, section: Section, keys: Sequence[str], why: str) -> None:
        for key in keys:
            if key in section:
                self._problems.add(section.place_of(key), f"`{key}` has no meaning: {why}")

    def _starter(self, section: Section) -> LocalModel:
        # So small that a GPU would make it slower, and the same answers everywhere.
        return LocalModel(STARTER_MODEL, starter_engine(), device="cpu", adapters=self._adapters(section))

    def _checkpoint(self, section: Section) -> LocalModel:
        path = (self._directory / section.get("path", fields.text, "")).absolute()
        named = section.get("model", _MODEL, path.name)
        if "model" not in section:
            _MODEL(Scalar(section.place_of("path"), path.name, path.name), "`path` without `model`", self._problems)
        return LocalModel(
            name=named,
            path=path,
            place=section.place_of("path"),
            precision=section.get("precision", fields.choice(_PRECISIONS), "auto"),
            device=section.get("device", fields.choice(DEVICES), "auto"),
            kv_bytes=section.get("kv", fields.size_bytes(16 * 1024**2), 0),
            kv_precision=section.get("kv_precision", fields.choice(_KV_PRECISIONS), "auto"),
            offload=section.get("offload", fields.choice(_OFFLOADS), ""),
            resident_bytes=section.get("resident", fields.size_bytes(1024**2), 0),
            processes=section.get("processes", fields.integer(1, MOST_PROCESSES), 1),
            adapters=self._adapters(section),
        )

    def _in_host(self, section: Section, name: str, model: LocalModel) -> UpstreamSettings:
        return UpstreamSettings(
            base_url=f"{HOST_URL}/v1",
            name=name,
            models=tuple((one, one) for one in model.models),
            class_=section.get("class", fields.site_name, "local"),
            local=model,
            tokenizer=model.path,
        )

    def _remote(self, section: Section, name: str) -> UpstreamSettings:
        self._refuse(section, ("adapters", *_LOCAL), "the server at `url` decides it")
        url = section.get("url", peers.url, "")
        return UpstreamSettings(
            base_url=peers.api_base(url),
            name=name or section.get("name", fields.site_name, "engine"),
            api_key=peers.api_key(section, self._directory),
            models=self._models(section),
            class_=section.get("class", fields.site_name, "local" if peers.is_local(url) else "external"),
            connect_s=section.get("connect_timeout", fields.duration_ms(), 2000) / 1000,
            total_s=section.get("total_timeout", fields.duration_ms(), 900_000) / 1000,
            first_byte_s=section.get("first_byte_timeout", fields.duration_ms(), 120_000) / 1000,
            tokenizer=self._tokenizer(section),
        )

    def _tokenizer(self, section: Section) -> Path | None:
        named = section.get("tokenizer", fields.text, "")
        if not named:
            return None
        directory = (self._directory / named).absolute()
        if not directory.is_dir():
            self._problems.add(section.place_of("tokenizer"), f"`tokenizer` is `{named}`, which is not a directory")
        return directory

    def _adapters(self, section: Section) -> tuple[tuple[str, Path], ...]:
        node = section.node("adapters")
        table = fields.table(node, "`adapters`", self._problems) if node else None
        adapters: list[tuple[str, Path]] = []
        for entry in table.entries if table else ():
            named = _ADAPTER(Scalar(entry.place, entry.key, entry.key), "adapter", self._problems)
            directory = fields.text(entry.value, f"`{entry.key}`", self._problems)
            if named and directory:
                adapters.append((named, (self._directory / directory).absolute()))
        return tuple(adapters)

    def _models(self, section: Section) -> tuple[tuple[str, str], ...]:
        node = section.node("models")
        table = fields.table(node, "`models`", self._problems) if node else None
        models: list[tuple[str, str]] = []
        for entry in table.entries if table else ():
            served = fields.text(entry.value, f"`{entry.key}`", self._problems)
            if served:
                models.append((entry.key, served))
        return tuple(models)


def starter_engine() -> Path:
    """Where the starter engine's checkpoint is installed."""
    return Path(__file__).resolve().parent.parent / "engine" / "starter" / "model"
